import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BALLOT_ZERO, ballotAfter } from '#lib/domain/control/acceptor.ts';
import { amend, claim, founded, install, type Register } from '#lib/domain/control/register.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import {
  type Begun,
  beginChange,
  changeRegister,
  glanceAtRegister,
  keep,
  readRegister,
} from '#lib/usecases/control/change-register.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { never } from '../../support/intercepted-log.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const MEMBERS = [EU, US, AP];
/** Fails at once, as a Region does that refuses connections. */
const failing = new Proxy({} as AcceptorStore, {
  get: () => async () => Promise.reject(new Error('down')),
});

const FIRST = founded(EU, E1, 'first');

async function founding(): Promise<FailoverGroup> {
  return new FailoverGroup(MEMBERS).found(EU);
}

function claimBy(region: RegionId, run = `run of ${region}`, epoch: Epoch = E1) {
  return (register: Register) =>
    claim(register, { epoch, coordinator: region, run, phase: 'failing-over' as const });
}

describe('a group without a leader', () => {
  test('is not founded yet, and gets one leader, whoever asks', async () => {
    const group = new FailoverGroup(MEMBERS);
    const read = () => group.run(readRegister(group.registerDeps(US)));
    await expect(read()).rejects.toMatchObject({ code: 'GROUP_NOT_FOUNDED' });
    const outcomes = await group.run(
      Promise.all(MEMBERS.map((at) => foundGroup(group.registerDeps(at), founded(at, E1, at)))),
    );
    const register = outcomes[0]!.register;
    for (const outcome of outcomes) expect(outcome.register).toEqual(register);
    expect(await read()).toEqual(register);
  });
});

describe('a change of the register', () => {
  test('is made by a majority while a Region hangs', async () => {
    const group = await founding();
    group.lost.add(AP);
    const before = group.scheduler.now();
    const { kind } = await group.run(
      changeRegister(group.registerDeps(EU), (value) => amend(value, { cooldownUntilMs: 7 })),
    );
    expect(kind).toBe('changed');
    // Nobody has waited for the one that hangs.
    expect(group.scheduler.now() - before).toBeLessThan(200);
    expect((await group.registers()).map((value) => value?.cooldownUntilMs)).toEqual([7, 7]);
  });

  test('is made while a Region fails', async () => {
    const group = await founding();
    const deps = group.registerDeps(EU);
    const of = (at: RegionId) => (at === US ? failing : deps.acceptors.of(at));
    expect((await group.run(readRegister({ ...deps, acceptors: { members: MEMBERS, of } }))).leader).toBe(EU);
  });

  test.each(['hang', 'fail'])(
    'is refused by name where most Regions %s, and changes nothing',
    async (how) => {
      const group = await founding();
      const deps = group.registerDeps(EU);
      if (how === 'hang') for (const region of [US, AP]) group.lost.add(region);
      const of = (at: RegionId) => (how === 'fail' && at !== EU ? failing : deps.acceptors.of(at));
      const change = changeRegister({ ...deps, acceptors: { members: MEMBERS, of } }, (value) =>
        amend(value, { cooldownUntilMs: 7 }),
      );
      await expect(group.run(change)).rejects.toMatchObject({ code: 'REGISTER_UNAVAILABLE' });
      group.lost.clear();
      expect(await group.run(readRegister(deps))).toEqual(FIRST);
    },
  );

  test('of the epoch is withheld while most Regions lend the leader its lease', async () => {
    const group = await founding();
    await group.vote(E1, US);
    const outcome = await group.run(changeRegister(group.registerDeps(US), claimBy(US)));
    expect(outcome).toEqual({ kind: 'withheld', register: FIRST });
    await group.vote(E1, AP);
    expect((await group.run(changeRegister(group.registerDeps(US), claimBy(US)))).kind).toBe('changed');
  });

  test('that does not fit is superseded, by a value that a majority holds', async () => {
    const group = await founding();
    await group.vote(E1, US, AP);
    await group.run(changeRegister(group.registerDeps(US), claimBy(US)));
    const late = await group.run(changeRegister(group.registerDeps(AP), claimBy(AP)));
    expect(late).toMatchObject({ kind: 'superseded', register: { epoch: 2, coordinator: US } });
  });
});

describe('the Region that is named the leader', () => {
  test.each(['hang', 'fail'])(
    'does not hear of it where the others %s after they have promised: what its own item says is decided',
    async (how) => {
      const group = await founding();
      await group.vote(E1, EU, US, AP);
      const deps = group.registerDeps(EU);
      expect((await group.run(changeRegister(deps, claimBy(EU, 'run')))).kind).toBe('changed');
      const silent = (at: RegionId): AcceptorStore =>
        new Proxy(deps.acceptors.of(at), {
          get: (target, name) => {
            if (name === 'accept') return () => (how === 'hang' ? never : Promise.reject(new Error('down')));
            const member: unknown = Reflect.get(target, name, target);
            return typeof member === 'function' ? member.bind(target) : member;
          },
        });
      const of = (at: RegionId) => (at === US ? deps.acceptors.of(at) : silent(at));
      const by = { epoch: E2, run: 'run', leader: US, cooldownUntilMs: 0 };
      const change = changeRegister({ ...deps, acceptors: { members: MEMBERS, of } }, (value) =>
        install(value, by),
      );
      await expect(group.run(change)).rejects.toMatchObject({ code: 'REGISTER_CONTENDED' });
      expect((await group.acceptor(US).read()).accepted!.value).toMatchObject({
        epoch: 2,
        phase: 'failing-over',
      });
      // And hears of it with them.
      expect((await group.run(changeRegister(deps, (value) => install(value, by)))).kind).toBe('changed');
      const { accepted } = await group.acceptor(US).read();
      expect(accepted!.value).toMatchObject({ epoch: 2, phase: 'leading', leader: US });
    },
  );
});

describe('a value that a minority has accepted', () => {
  /** US has accepted a claim of epoch 2 that nobody else has. */
  async function halfClaimed(): Promise<FailoverGroup> {
    const group = await founding();
    await group.vote(E1, US);
    const ballot = ballotAfter((await group.acceptor(US).read()).promised || BALLOT_ZERO, US, 'half');
    const { register } = claimBy(US)(FIRST);
    expect((await group.acceptor(US).accept(ballot, register)).kind).toBe('accepted');
    return group;
  }

  test('is completed by whoever reads it, where the others have voted too', async () => {
    const group = await halfClaimed();
    await group.vote(E1, EU);
    expect(await glanceAtRegister(group.registerDeps(EU))).toMatchObject({ epoch: 1 });
    expect(await group.run(readRegister(group.registerDeps(EU)))).toMatchObject({
      epoch: 2,
      coordinator: US,
    });
    expect(await group.run(glanceAtRegister(group.registerDeps(EU)))).toMatchObject({ epoch: 2 });
  });

  test('is replaced by the one before it, where the others have not voted', async () => {
    const group = await halfClaimed();
    expect(await group.run(readRegister(group.registerDeps(EU)))).toEqual(FIRST);
    expect(await group.run(readRegister(group.registerDeps(US)))).toEqual(FIRST);
    expect((await group.registers()).map((value) => value?.epoch)).toEqual([1, 1, 1]);
  });

  test('stays out of the way where its Region is lost', async () => {
    const group = await halfClaimed();
    group.lost.add(US);
    expect(await group.run(readRegister(group.registerDeps(EU)))).toEqual(FIRST);
    await group.vote(E1, EU, AP);
    const { register } = await group.run(changeRegister(group.registerDeps(AP), claimBy(AP)));
    expect(register.coordinator).toBe(AP);
    group.lost.clear();
    expect(await group.run(readRegister(group.registerDeps(US)))).toMatchObject({
      epoch: 2,
      coordinator: AP,
    });
  });
});

describe('a change by consent of the leader', () => {
  test('casts the votes that it needs, of those who accept it', async () => {
    const group = await founding();
    await group.vote(E1, EU);
    group.lost.add(AP);
    const change = changeRegister(group.registerDeps(EU), claimBy(EU), { by: 'switch/1' });
    expect((await group.run(change)).kind).toBe('changed');
    const voices = await Promise.all(MEMBERS.map((at) => group.acceptor(at).read()));
    expect(voices.map(({ vote, voteBy }) => [vote, voteBy])).toEqual([
      [1, undefined],
      [1, 'switch/1'],
      [undefined, undefined],
    ]);
  });

  test('asks nothing of the others where it does not stand any more', async () => {
    const group = await founding();
    const change = changeRegister(group.registerDeps(EU), claimBy(EU), { by: 'switch/1' });
    expect((await group.run(change)).kind).toBe('withheld');
    for (const at of MEMBERS) expect((await group.acceptor(at).read()).vote).toBeUndefined();
  });

  test('helps nobody else: what another has half claimed gets no votes by it', async () => {
    const members = [...MEMBERS, parseRegionId('sa-east-1'), parseRegionId('ca-central-1')];
    const group = await new FailoverGroup(members).found(EU);
    await group.vote(E1, EU, US);
    const ballot = ballotAfter((await group.acceptor(US).read()).promised, US, 'half');
    await group.acceptor(US).accept(ballot, claimBy(US)((await group.registers())[0]!).register);
    const change = changeRegister(group.registerDeps(EU), claimBy(EU), { by: 'switch/1' });
    expect(await group.run(change)).toMatchObject({
      kind: 'changed',
      register: { epoch: 2, coordinator: EU },
    });
  });

  test('that was begun before, also along with another, costs one round trip, and begins again where it was outbid', async () => {
    const group = await founding();
    await group.vote(E1, EU);
    const deps = group.registerDeps(EU);
    let prepared = 0;
    const of = (at: RegionId): AcceptorStore => {
      const acceptor = deps.acceptors.of(at);
      return Object.assign(Object.create(acceptor) as AcceptorStore, {
        prepare: (...call: Parameters<AcceptorStore['prepare']>) => {
          prepared += 1;
          return acceptor.prepare(...call);
        },
      });
    };
    const counted = { ...deps, acceptors: { members: MEMBERS, of } };
    const begun = await group.run(beginChange(counted));
    expect(prepared).toBe(3);
    const change = await group.run(changeRegister(counted, claimBy(EU), { begun, by: 'switch/1' }));
    expect(change).toMatchObject({ kind: 'changed', register: { epoch: 2 } });
    expect(prepared).toBe(3);
    let onward: Begun | undefined;
    await group.vote(E2, EU);
    const second = { by: 'switch/2', onward: (next: Begun) => (onward = next) } as const;
    await group.run(changeRegister(counted, claimBy(EU, 'run of EU', E2), second));
    expect(prepared).toBe(6);
    const third = await group.run(changeRegister(counted, keep, { begun: onward! }));
    expect(third).toMatchObject({ kind: 'changed', register: { epoch: 3 } });
    expect(prepared).toBe(6);
    const first = await group.run(beginChange(counted));
    await group.run(readRegister(group.registerDeps(US)));
    const outbid = await group.run(changeRegister(counted, keep, { begun: first }));
    expect(outbid).toMatchObject({ kind: 'changed', register: { epoch: 3, coordinator: EU } });
    expect(prepared).toBe(12);
  });
});

describe('a glance', () => {
  test('tells what a majority holds, without moving anybody, and nothing where there is no such thing', async () => {
    const group = await founding();
    const promised = (await group.acceptor(EU).read()).promised;
    expect(await group.run(glanceAtRegister(group.registerDeps(AP)))).toEqual(FIRST);
    expect((await group.acceptor(EU).read()).promised).toBe(promised);
    group.lost.add(EU);
    group.lost.add(US);
    expect(await group.run(glanceAtRegister(group.registerDeps(AP)))).toBeUndefined();
    expect(await glanceAtRegister(new FailoverGroup(MEMBERS).registerDeps(EU))).toBeUndefined();
  });
});

/** What every acceptor has ever accepted: to see which values were chosen. */
class Witness extends MemoryAcceptor {
  readonly #note: (ballot: string, value: Register) => void;

  constructor(note: (ballot: string, value: Register) => void) {
    super();
    this.#note = note;
  }

  override async join(...[ballot, value]: Parameters<MemoryAcceptor['join']>) {
    this.#note(ballot, value);
    return super.join(ballot, value);
  }

  override async accept(...[ballot, value]: Parameters<MemoryAcceptor['accept']>) {
    const answer = await super.accept(ballot, value);
    if (answer.kind === 'accepted') this.#note(ballot, value);
    return answer;
  }
}

describe('several proposers at once', () => {
  const anyRivals = fc.array(
    fc.record({
      region: fc.constantFrom(...MEMBERS),
      epoch: fc.integer({ min: 1, max: 3 }),
      pause: fc.boolean(),
    }),
    { minLength: 2, maxLength: 5 },
  );

  test('in any order of messages, with lost ones: one value a ballot, epochs never go back, one claimer an epoch', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), anyRivals, fc.infiniteStream(fc.nat(9)), async (s, rivals, fates) => {
        const accepted: { at: RegionId; ballot: string; value: Register }[] = [];
        const acceptors = new Map(
          MEMBERS.map((at) => [at, new Witness((ballot, value) => accepted.push({ at, ballot, value }))]),
        );
        for (const acceptor of acceptors.values()) {
          await acceptor.join(ballotAfter(BALLOT_ZERO, EU, 'first'), FIRST);
          for (const epoch of [1, 2, 3]) await acceptor.vote(epoch as Epoch, 'over');
        }
        // Votes against all epochs are in force as each is claimed: the register alone keeps the claimers apart.
        const willing = (at: RegionId): AcceptorStore => {
          const acceptor = acceptors.get(at)!;
          const sent =
            <A extends unknown[], R>(call: (...parameters: A) => Promise<R>) =>
            async (...parameters: A): Promise<R> => {
              await s.schedule(Promise.resolve(), 'request');
              const fate = fates.next().value;
              if (fate === 0) throw new Error('the request was lost');
              const answer = await call(...parameters);
              await s.schedule(Promise.resolve(), 'answer');
              if (fate === 1) throw new Error('the answer was lost');
              return answer;
            };
          return {
            read: sent(() => acceptor.read()),
            prepare: sent((ballot) => acceptor.prepare(ballot)),
            accept: sent(async (ballot, value) => {
              await acceptor.vote((value.epoch - 1) as Epoch, 'over');
              return acceptor.accept(ballot, value);
            }),
            join: (...parameters) => acceptor.join(...parameters),
            beat: (beat) => acceptor.beat(beat),
            vote: (...parameters) => acceptor.vote(...parameters),
            unvote: (...parameters) => acceptor.unvote(...parameters),
            draw: (drawn) => acceptor.draw(drawn),
          };
        };
        let chance = 0;
        const won: Register[] = [];
        const runs = rivals.map(async ({ region, epoch, pause }, index) => {
          const deps = {
            region,
            acceptors: { members: MEMBERS, of: willing },
            chance: () => `${chance++}`,
            random: () => 0,
            // Longer than anything that is under way.
            sleep: (ms: number) =>
              ms >= 1_000 ? new Promise<void>(() => {}) : s.schedule(Promise.resolve(), 'pause'),
          };
          const run = `run ${index}`;
          try {
            if (pause)
              await changeRegister(deps, (value) => amend(value, { paused: { by: run, reason: '' } }));
            const change = await changeRegister(deps, claimBy(region, run, epoch as Epoch));
            if (change.kind === 'changed') won.push(change.register);
          } catch {
            // Unavailable or contended: nobody has said that it was done.
          }
        });
        await s.waitFor(Promise.all(runs));

        const chosen = new Map<string, { value: Register; by: Set<RegionId> }>();
        for (const { at, ballot, value } of accepted) {
          const known = chosen.get(ballot) ?? { value, by: new Set() };
          chosen.set(ballot, known);
          expect(value).toEqual(known.value);
          known.by.add(at);
        }
        const decided = [...chosen].filter(([, { by }]) => by.size >= 2).sort(([a], [b]) => (a < b ? -1 : 1));
        const epochs = decided.map(([, { value }]) => value.epoch);
        expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
        const claimers = new Map<number, string>();
        for (const { epoch, run } of [...decided.map(([, { value }]) => value), ...won]) {
          expect(claimers.get(epoch) ?? run).toBe(run);
          claimers.set(epoch, run);
        }
        // An amendment that was chosen is in every value that was chosen after it.
        const pauses = decided.map(([, { value }]) => value.paused?.by);
        expect(pauses.slice(pauses.findIndex((by) => by !== undefined)).includes(undefined)).toBe(
          pauses.every((by) => by === undefined),
        );
      }),
      { numRuns: 150 },
    );
  });

  test('one of them wins, and the others know who, where no message is lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), async (s) => {
        const group = await founding();
        await group.vote(E1, ...MEMBERS);
        const deps = (region: RegionId) => {
          const plain = group.registerDeps(region);
          const sent =
            <A extends unknown[], R>(call: (...parameters: A) => Promise<R>) =>
            async (...parameters: A) => {
              await s.schedule(Promise.resolve());
              return call(...parameters);
            };
          const of = (at: RegionId) => {
            const acceptor = group.acceptor(at);
            return {
              read: sent(() => acceptor.read()),
              prepare: sent((...each) => acceptor.prepare(...each)),
              accept: sent((...each) => acceptor.accept(...each)),
            } as Partial<AcceptorStore> as AcceptorStore;
          };
          const sleep = (ms: number) =>
            ms >= 1_000 ? new Promise<void>(() => {}) : s.schedule(Promise.resolve());
          return { ...plain, acceptors: { members: MEMBERS, of }, sleep };
        };
        const runs = MEMBERS.map((at) =>
          changeRegister(deps(at), claimBy(at)).catch((error: { code: string }) => error.code),
        );
        const outcomes = await s.waitFor(Promise.all(runs));
        await s.waitIdle();
        const changed = outcomes.filter((each) => typeof each !== 'string' && each.kind === 'changed');
        expect(changed.length).toBeLessThanOrEqual(1);
        for (const each of outcomes)
          expect(['REGISTER_CONTENDED', 'object']).toContain(typeof each === 'string' ? each : 'object');
        if (changed.length === 1) {
          expect(await group.run(changeRegister(group.registerDeps(EU), keep))).toEqual(changed[0]);
          expect((changed[0] as { register: Register }).register.epoch).toBe(E2);
        }
      }),
      { numRuns: 60 },
    );
  });
});
