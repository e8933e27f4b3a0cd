import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFailure } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { continues, type Head } from '#lib/domain/log.ts';
import type { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { Crash, CrashAt } from '../support/crash-at.ts';
import { names } from '../support/log-history.ts';
import { EU, US } from '../support/memory-group.ts';
import { type Lens, plain, RetentionWorld } from '../support/retention-world.ts';

/** Segments are few, so that the same bytes come again and again: in two entries, after a crash, after they were deleted. */
const NAMES = names('s', 5);
/** These are in no entry at first. */
const NEW = names('n', 3);

type Work = 'capture' | 'relay' | 'apply' | 'retain' | 'read';
/** A process: what it does, where, how often, and at which of its awaits it is frozen until all others are through, or killed. */
type Actor = {
  readonly work: Work;
  readonly at: RegionId;
  readonly segments: readonly string[];
  readonly freeze: number;
  readonly crash: number;
};

const never = Number.POSITIVE_INFINITY;
const anyActor: fc.Arbitrary<Actor> = fc.record({
  work: fc.constantFrom<Work>('capture', 'capture', 'relay', 'apply', 'retain', 'retain', 'retain', 'read'),
  at: fc.constantFrom(EU, EU, US),
  segments: fc.array(fc.constantFrom(...NAMES, ...NEW), { minLength: 1, maxLength: 4 }),
  freeze: fc.oneof(fc.constant(never), fc.nat(12)),
  crash: fc.oneof({ weight: 2, arbitrary: fc.constant(never) }, { weight: 1, arbitrary: fc.nat(40) }),
});

/** Those that are frozen go on once nobody else has anything left to do. */
class Frost {
  #awake: number;
  #thaw = Promise.withResolvers<void>();

  constructor(actors: number) {
    this.#awake = actors;
  }

  async sleep(): Promise<void> {
    const { promise } = this.#thaw;
    this.end();
    await promise;
  }

  end(): void {
    this.#awake--;
    if (this.#awake === 0) this.#thaw.resolve();
  }
}

/** Each call waits until the scheduler lets it go on: anywhere among those of all other processes. */
function scheduled(s: fc.Scheduler, actor: Actor, frost: Frost): Lens {
  const crash = new CrashAt(actor.crash);
  let left = actor.freeze;
  return <T extends object>(port: T): T =>
    crash.watched(
      new Proxy(port, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target);
          if (typeof member !== 'function') return member;
          return async (...args: unknown[]) => {
            await s.schedule(Promise.resolve(), String(name));
            if (left-- === 0) await frost.sleep();
            return member.apply(target, args);
          };
        },
      }),
    );
}

/** One that is frozen while others carry on what it was to carry may find that gone: it fails, and is made again. */
async function relayed(world: RetentionWorld, lens: Lens): Promise<string> {
  const endOf = async () => (await world.group.own(US).head(LANE_0)).lastLsn;
  const before = await endOf();
  try {
    return (await world.relay(US, lens)).kind;
  } catch (error) {
    if (!isFailure(error, 'SEGMENT_MISSING') || (await endOf()) === before) throw error;
    return 'ahead';
  }
}

async function run(world: RetentionWorld, { at, segments, work }: Actor, lens: Lens): Promise<void> {
  for (const name of segments) {
    if (work === 'capture') await world.capture(name, lens);
    else if (work === 'relay') expect(await relayed(world, lens)).toMatch(/current|ahead/);
    else if (work === 'apply') await world.apply(US, lens);
    else if (work === 'retain') await world.retain(at, lens);
    else await world.read(at, lens);
  }
}

/** Entries from where the log begins to where it ends are there, chained, and every segment can be read. */
async function expectWhole(log: MemoryLog): Promise<void> {
  const head = await log.head(LANE_0);
  const entries = await log.entries(LANE_0, head.firstLsn, 10_000);
  const [first] = entries;
  if (first === undefined) return void expect(head.firstLsn).toBe(head.lastLsn + 1n);
  expect(first.first).toBe(head.firstLsn);
  const before: Head = {
    ...head,
    lastLsn: (first.first - 1n) as Head['lastLsn'],
    chain: first.prev,
    lastEpoch: first.epoch,
    totalBytes: first.totalBytes - BigInt(first.bytes),
  };
  expect(continues(before, entries)).toBe(true);
  expect(entries.at(-1)!.chain).toBe(head.chain);
  for (const entry of entries) await log.getSegment(entry);
}

/** Plays the actors against each other, and then lets everything come to rest. */
async function play(s: fc.Scheduler, actors: readonly Actor[], start = aged): Promise<RetentionWorld> {
  const world = await start();
  const frost = new Frost(actors.length);
  const runs = actors.map((actor) =>
    run(world, actor, scheduled(s, actor, frost))
      .catch((error: unknown) => {
        if (!(error instanceof Crash)) throw error;
      })
      .finally(() => frost.end()),
  );
  await s.waitFor(Promise.all(runs));
  for (const region of [EU, US]) await expectWhole(world.group.own(region));
  return world;
}

/** A log most of which may go at once: limits and grace are shorter than a second of the log. */
async function aged(): Promise<RetentionWorld> {
  const world = new RetentionWorld({ days: 1, holdDays: 1_000_000, graceHours: 0 }, 2);
  await world.group.lead(EU);
  for (const name of [...NAMES, ...NAMES]) await world.capture(name);
  await world.relay(US);
  await world.apply(US);
  return world;
}

const races = (property: (s: fc.Scheduler, actors: readonly Actor[]) => Promise<void>, numRuns = 400) =>
  fc.assert(fc.asyncProperty(fc.scheduler(), fc.array(anyActor, { minLength: 3, maxLength: 8 }), property), {
    numRuns,
  });

describe('appenders, relays, appliers, readers and two deleters in each Region, in any order, killed anywhere', () => {
  test('leave a log that can be read from where it begins, and nothing that a replica needs goes', () =>
    races(async (s, actors) => {
      const world = await play(s, actors);
      // The follower goes on from wherever it was: neither its log nor its store has to start over.
      expect((await world.relay(US)).kind).toBe('current');
      const { lastLsn } = await world.group.own(EU).head(LANE_0);
      const applied = async () => (await world.group.control(US).applyState(LANE_0)).applied?.lsn;
      for (let i = 0; (await applied()) !== lastLsn && i < 100; i++) await world.apply(US);
      expect(await applied()).toBe(lastLsn);
      await expectWhole(world.group.own(US));
    }));

  test('leave nothing behind for good: two runs later, all that is stored is named by an entry that is kept', () =>
    races(async (s, actors) => {
      const world = await play(s, actors);
      await world.relay(US);
      for (let i = 0; i < 20; i++) await world.apply(US);
      for (const region of [EU, US]) {
        for (let i = 0; i < 3; i++) await world.retain(region, plain);
        const { entries, segments } = await world.stored(region);
        const { firstLsn } = await world.group.own(region).head(LANE_0);
        expect(entries[0]?.first).toBe(firstLsn);
        const named = new Set(entries.map(({ hash }) => hash));
        expect(segments.filter(({ hash }) => !named.has(hash))).toEqual([]);
        // What is a day of the log old goes: three are younger, and those that were appended out of their order.
        expect(entries.length).toBeLessThanOrEqual(3 + actors.length);
        await expectWhole(world.group.own(region));
      }
    }, 200));
});
