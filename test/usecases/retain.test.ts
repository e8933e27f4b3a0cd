import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { advance } from '#lib/domain/lsn.ts';
import { retain } from '#lib/usecases/retain.ts';
import { intercepted, silentLog } from '../support/intercepted-log.ts';
import { E1, E2, names, segment } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';
import { RetentionWorld } from '../support/retention-world.ts';

/** Days of ten seconds, a record each second. */
const DAY = 10;

let world: RetentionWorld;
beforeEach(async () => {
  world = new RetentionWorld({ days: 2, holdDays: 6, graceHours: 24 }, DAY);
  await world.group.lead(EU);
});

const day = async (name: string, days = 1) => {
  for (const each of names(`${name}-`, days * DAY)) await world.capture(each);
};
const follow = async () => {
  await world.relay(US);
  for (let i = 0; i < 100; i++) await world.apply(US);
};
const firsts = async (region = EU) => (await world.stored(region)).entries.map(({ first }) => first);
const begins = async (region = EU) => (await world.group.own(region).head(LANE_0)).firstLsn;
/** Time enough for whoever answers at all. */
const soon = () => new Promise<void>((resolve) => setImmediate(resolve));
/** LSN at which the n-th entry begins. */
const nth = (entry: number) => BigInt((entry - 1) * 3 + 1);

describe('what everybody has and is old enough', () => {
  beforeEach(async () => {
    await day('a', 4);
    await follow();
  });

  test('is unlinked first, deleted a grace later, and its segments with it', async () => {
    expect(await world.retain(EU)).toBe('done');
    expect(await begins()).toBe(nth(20));
    expect(await firsts()).toHaveLength(40);

    world.seconds += DAY - 1;
    await world.retain(EU);
    expect(await firsts()).toHaveLength(40);

    world.seconds += 1;
    await world.retain(EU);
    expect((await firsts())[0]).toBe(nth(20));
    const { segments } = await world.stored(EU);
    expect(segments).toHaveLength(21);
  });

  test('goes from each log by itself', async () => {
    await world.retain(EU);
    expect(await begins(EU)).toBe(nth(20));
    expect(await begins(US)).toBe(1n);
    await world.retain(US);
    expect(await begins(US)).toBe(nth(20));
  });

  test('goes no further than once at a time: what is unlinked is deleted before more is', async () => {
    await world.retain(EU);
    await day('b');
    world.seconds -= DAY;
    await follow();
    await world.retain(EU);
    expect(await begins()).toBe(nth(20));
    world.seconds += DAY;
    await world.retain(EU);
    expect(await begins()).toBe(nth(30));
  });
});

test('age is that of the log: a clock that is ahead, or a log that stands still, lets nothing go', async () => {
  await day('a', 2);
  await follow();
  world.seconds += 1_000 * DAY;
  await world.retain(EU);
  expect(await begins()).toBe(1n);
});

test('the newest entry stays, however old and large it is', async () => {
  world = new RetentionWorld({ days: 2, maxBytes: 1 }, DAY);
  await world.group.lead(EU);
  await day('a', 1);
  await follow();
  await world.retain(EU);
  expect(await begins()).toBe(nth(DAY));
});

test('a log that is too large is cut sooner, but never into what a restore needs', async () => {
  world = new RetentionWorld({ days: 5, maxBytes: 1_000, restoreWindowDays: 2 }, DAY);
  await world.group.lead(EU);
  await day('a', 4);
  await follow();
  await world.retain(EU);
  expect(await begins()).toBe(nth(20));
});

test('a log that is too large is cut to its size where nothing stands against it', async () => {
  world = new RetentionWorld({ days: 5, maxBytes: 1_000 }, DAY);
  await world.group.lead(EU);
  await day('a', 4);
  await follow();
  await world.retain(EU);
  // Ten entries of 100 bytes after the last that goes.
  expect(await begins()).toBe(nth(31));
});

describe('what a replica needs', () => {
  const told = () =>
    world.group.telemetry.kinds().filter((kind) => kind === 'FOLLOWER_BEHIND_RETENTION').length;
  beforeEach(async () => {
    await day('a', 1);
    await follow();
    await day('b', 3);
  });

  test('stays while its log is behind, with the entry at which the two logs meet', async () => {
    await world.retain(EU);
    expect(await begins()).toBe(nth(DAY));
    expect((await world.relay(US)).kind).toBe('current');
  });

  test('stays in its own log while its store is behind: a delayed replica', async () => {
    await world.relay(US);
    for (const region of [EU, US]) {
      await world.retain(region);
      expect(await begins(region)).toBe(nth(DAY));
    }
  });

  test.each([
    ['does not answer', () => world.group.reached.set(US, silentLog(world.group.own(US)))],
    [
      'fails',
      () =>
        world.group.reached.set(
          US,
          intercepted(world.group.own(US), {
            head: () => async () => {
              throw new Error('unreachable');
            },
          }),
        ),
    ],
    ['has not heard of the epoch', () => world.group.control(EU).nameLeader({ leader: EU, epoch: E2 })],
    [
      'is yet to be re-attached',
      async () => {
        await world.group.lead(EU, E2);
      },
    ],
  ])('is all there is while it %s', async (_, befall) => {
    await befall();
    const deps = { ...world.retainDeps(EU), sleep: soon };
    expect(await retain(deps)).toBe('done');
    expect(await begins()).toBe(1n);
    expect(world.group.telemetry.kinds()).not.toContain('FOLLOWER_BEHIND_RETENTION');
  });

  test('stays no longer than is said, and whoever needed it is named', async () => {
    world.group.reached.set(US, silentLog(world.group.own(US)));
    await day('c', 4);
    await retain({ ...world.retainDeps(EU), sleep: soon });
    // What is older than six days of eight: for US, not for the policy.
    expect(await begins()).toBe(nth(20));
    expect(world.group.telemetry.events).toContainEqual({
      kind: 'FOLLOWER_BEHIND_RETENTION',
      fields: { behind: US, why: 'silent', retainedFrom: `${nth(20)}` },
    });
    expect(told()).toBe(1);
  });

  test('of two that are behind, the one that has what is cut off is not named', async () => {
    await world.relay(US);
    await day('c', 4);
    await world.retain(EU);
    expect(await begins()).toBe(nth(20));
    expect(world.group.telemetry.events).toContainEqual({
      kind: 'FOLLOWER_BEHIND_RETENTION',
      fields: { behind: US, lsn: `${nth(DAY) + 2n}`, retainedFrom: `${nth(20)}` },
    });
    expect(world.group.telemetry.kinds().filter((kind) => kind === 'FOLLOWER_BEHIND_RETENTION')).toHaveLength(
      1,
    );
  });

  test('of a Region that was added and has nothing yet is all, until it has begun its copy', async () => {
    world = new RetentionWorld({ days: 2, holdDays: 6 }, DAY, [EU, US, AP]);
    await world.group.lead(EU);
    await day('a', 4);
    await follow();
    await world.retain(EU);
    expect(await begins()).toBe(1n);
    await world.relay(AP);
    const { lastLsn } = await world.group.own(AP).head(LANE_0);
    const { lease } = await world.group.control(AP).takeLease(LANE_0);
    const applied = { lsn: lastLsn, epoch: E1, totalBytes: 0n, commitMs: 0 };
    await world.group.control(AP).saveApplyState(lease, { applied });
    await world.retain(EU);
    expect(await begins()).toBe(nth(20));
  });
});

describe('in the name of an epoch', () => {
  beforeEach(async () => {
    await day('a', 4);
    await follow();
  });

  test('that is over, nothing is unlinked, deleted or swept', async () => {
    await world.retain(EU);
    world.seconds += DAY;
    const { head } = await world.group.own(EU).seal(LANE_0, E2);
    const before = await world.stored(EU);
    expect(await world.retain(EU)).toBe('fenced');
    expect(await world.stored(EU)).toEqual(before);
    expect(await world.group.own(EU).head(LANE_0)).toEqual(head);
  });

  test('that this Region is not attached to, nothing is done', async () => {
    await world.group.lead(US, E2);
    expect(await world.retain(EU)).toBe('waiting');
    expect(await begins()).toBe(1n);
  });

  test('that ends while segments are being deleted, no more of them are', async () => {
    for (let run = 0; run < 3; run++) {
      await world.retain(EU);
      world.seconds += DAY;
    }
    for (const name of names('orphan', 9)) {
      await world.group.own(EU).putSegment(segment(name).hash, segment(name).bytes, { generation: 0 });
    }
    const own = world.group.own(EU);
    let deletions = 0;
    const deps = world.retainDeps(EU);
    const keeper = new Proxy(own, {
      get: (target, name) => {
        if (name !== 'dropSegments') return Reflect.get(target, name, target).bind(target);
        return async (...args: Parameters<typeof own.dropSegments>) => {
          deletions++;
          await own.dropSegments(...args);
          await own.seal(LANE_0, E2);
        };
      },
    });
    expect(await retain({ ...deps, keeper })).toBe('fenced');
    expect(deletions).toBe(1);
  });
});

describe('uploads that came to nothing', () => {
  const orphans = names('orphan', 7).map(segment);
  const left = async () => {
    const hashes = new Set(orphans.map(({ hash }) => hash));
    return (await world.stored(EU)).segments.filter(({ hash }) => hashes.has(hash)).length;
  };
  beforeEach(async () => {
    await day('a');
    const head = await world.group.own(EU).head(LANE_0);
    for (const { bytes, hash } of orphans) await world.group.own(EU).putSegment(hash, bytes, head);
  });

  test('are left alone for as long as a run takes to come round, then deleted', async () => {
    await world.retain(EU);
    expect(await left()).toBe(7);
    await world.retain(EU);
    expect(await left()).toBe(0);
    await world.read(EU);
  });

  test('are not missed by whoever comes back to append them', async () => {
    const before = await world.group.own(EU).head(LANE_0);
    await world.retain(EU);
    await world.retain(EU);
    await world.capture('orphan0');
    expect((await world.group.own(EU).head(LANE_0)).lastLsn).toBe(advance(before.lastLsn, 3));
    await world.read(EU);
  });
});

test('a run that has no time left says so, and the next one goes on', async () => {
  await day('a', 4);
  await follow();
  await world.retain(EU);
  world.seconds += DAY;
  let steps = 3;
  const hurried = { ...world.retainDeps(EU), mayGoOn: () => steps-- > 0 };
  await expect(retain(hurried)).rejects.toMatchObject({ code: 'RETENTION_UNFINISHED', retry: 'now' });
  const after = await firsts();
  expect(after.length).toBeLessThan(40);
  await world.retain(EU);
  expect((await firsts())[0]).toBe(nth(20));
  await world.read(EU);
});

test('the number of entries and of objects stays the same as the group ages', async () => {
  const sizes: { entries: number; segments: number }[] = [];
  for (let each = 0; each < 40; each++) {
    await day(`day${each}`);
    // One upload a day is cut off before its append, here and at the follower.
    for (const region of [EU, US]) {
      const { bytes, hash } = segment(`orphan ${each}`);
      await world.group.own(region).putSegment(hash, bytes, await world.group.own(region).head(LANE_0));
    }
    await follow();
    for (const region of [EU, US]) {
      await world.retain(region);
      const { entries, segments } = await world.stored(region);
      sizes.push({ entries: entries.length, segments: segments.length });
    }
  }
  const settled = sizes.slice(20);
  // Days that are kept, the one that is unlinked, and the one that has just gone by; an orphan of each of two days.
  expect(Math.max(...settled.map(({ entries }) => entries))).toBeLessThanOrEqual(4 * DAY);
  expect(Math.max(...settled.map(({ segments }) => segments))).toBeLessThanOrEqual(4 * DAY + 3);
  expect(new Set(sizes.slice(-20).map((each) => JSON.stringify(each))).size).toBe(1);
});
