import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Epoch, LSN_ZERO, parseEpoch } from '#lib/domain/lsn.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { DynamoRewinder } from '#lib/engines/dynamodb/dynamo-rewinder.ts';
import { heartbeatKey } from '#lib/engines/dynamodb/heartbeat.ts';
import type { Control } from '#lib/ports/control.ts';
import { type ReattachDeps, type Reattached, reattach } from '#lib/usecases/control/reattach.ts';
import { relay } from '#lib/usecases/relay.ts';
import { Crash, CrashAt } from '../../support/crash-at.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { allEntries, E1, E2, E3, trimTo } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { n, PK, s } from '../../support/stream-records.ts';

/** Every kind of value, at its edges. */
const RICH: Item = {
  pk: s('rich'),
  number: { N: '-1234567890123456789012345678901234567.8' },
  bytes: { B: new Uint8Array([0, 255, 128, 10]) },
  list: { L: [{ NULL: true }, { BOOL: false }, { M: { ü: { S: '' } } }] },
  sets: { M: { n: { NS: ['1', '2.50'] }, s: { SS: ['a', 'b'] }, b: { BS: [new Uint8Array([7])] } } },
};

/** The group after a minute of EU's leadership: all hold the same. */
async function replicated(): Promise<FailoverGroup> {
  const group = await new FailoverGroup([EU, US, AP]).found(EU);
  for (const pk of ['kept', 'changed', 'deleted', 'again']) group.put(EU, pk, 1);
  group.store(EU).put(RICH);
  for (let i = 0; i < 4; i++) {
    group.scheduler.advance(1_000);
    await group.round(EU);
  }
  group.put(EU, 'kept', 2);
  await group.round(EU);
  for (const region of [US, AP]) {
    const { applied, snapshot } = await group.control(region).applyState(LANE_0);
    expect([applied?.lsn, snapshot]).toEqual([(await group.own(EU).head(LANE_0)).lastLsn, undefined]);
  }
  return group;
}

/** What EU writes that nobody else gets. */
function writeTail(group: FailoverGroup, value: number): void {
  const store = group.store(EU);
  group.put(EU, 'changed', value);
  group.put(EU, 'inserted', value);
  group.put(EU, 'changed', value + 1);
  store.delete({ pk: s('deleted') });
  store.delete({ pk: s('again') });
  group.put(EU, 'again', value);
  store.put({ ...RICH, number: n(value), bytes: { B: new Uint8Array([1]) }, list: { L: [] } });
}

type Story = {
  /** Logged at EU before the others took over. */
  readonly captured?: boolean;
  /** Written at EU afterwards. */
  readonly uncaptured?: boolean;
  /** The new leader has logged more since than the old one's tail is long. */
  readonly longer?: boolean;
  /** What the new leader has logged is in the old one's log as well, before that one is taken back in. */
  readonly pushed?: boolean;
  readonly epoch?: Epoch;
};

/** US leads now, has logged changes of its own, and EU comes back. */
async function divided({
  captured = false,
  uncaptured = false,
  longer = false,
  pushed = false,
  epoch = E2,
}: Story): Promise<FailoverGroup> {
  const group = await replicated();
  group.scheduler.advance(1_000);
  if (captured) {
    writeTail(group, 100);
    await group.capture(EU);
    group.put(EU, 'inserted', 150);
    await group.capture(EU);
  }
  await group.own(US).seal(LANE_0, epoch);
  await group.lead(US, epoch);
  group.put(US, 'new', 7);
  group.put(US, 'changed', 8);
  await group.capture(US);
  for (let value = 0; longer && value < 20; value++) {
    group.put(US, 'new', value);
    await group.capture(US);
  }
  if (uncaptured) {
    writeTail(group, 200);
    group.put(EU, 'late', 1);
  }
  if (pushed) {
    await group.own(EU).seal(LANE_0, epoch);
    await relay(group.own(US), group.own(EU), LANE_0, epoch);
  }
  group.scheduler.advance(1_000);
  return group;
}

function depsOf(
  group: FailoverGroup,
  region: RegionId,
  crash = new CrashAt(Number.MAX_SAFE_INTEGER),
  leader = US,
) {
  const replica = new DynamoReplica({
    store: crash.watched(group.store(region)),
    leader: group.store(leader),
    control: crash.watched(group.control(region)),
    key: PK,
  });
  return {
    region,
    log: (at: RegionId) => crash.watched(group.own(at)),
    control: crash.watched(group.control(region)),
    divergences: crash.watched(group.divergences.get(region)!),
    rewinder: new DynamoRewinder({ key: PK, replica }),
    writePath: crash.watched(group.writePath),
    clock: group.clock,
    telemetry: group.telemetry,
  };
}

/** Calls as the sentinel does, until it is done. */
async function reattached(
  group: FailoverGroup,
  region: RegionId,
  since = group.now(),
  deps: ReattachDeps = depsOf(group, region),
): Promise<Reattached> {
  for (let tries = 0; tries < 10; tries++) {
    const result = await reattach(deps, since);
    if (result.kind !== 'collecting') return result;
    group.scheduler.advance(1_000);
  }
  throw new Error('it never ends');
}

/** The next epoch is always there before this one is followed. */
function neverAttached(control: Control): Control {
  return {
    role: () => control.role(),
    nameLeader: control.nameLeader,
    attach: async () => 'superseded',
    applyState: control.applyState,
    takeLease: control.takeLease,
    saveApplyState: control.saveApplyState,
    noteRewound: control.noteRewound,
  };
}

type Line = {
  readonly kind: string;
  readonly key: Item;
  readonly before: Item | null;
  readonly after: Item | null;
  readonly lsn: string | null;
};

async function report(group: FailoverGroup, region: RegionId, epoch: Epoch): Promise<readonly Line[]> {
  const saved = (await group.divergences.get(region)!.of(epoch))?.report;
  if (saved === undefined) return [];
  const lines = Buffer.from(await group.divergences.get(region)!.get(saved.hash))
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
  expect(lines).toHaveLength(saved.changes);
  return lines;
}

/** What people wrote: without the heartbeat. */
function contents(group: FailoverGroup, region: RegionId): ReadonlyMap<string, Item> {
  const rows = new Map(group.store(region).contents());
  rows.delete(JSON.stringify(Object.values(heartbeatKey(PK))));
  return rows;
}

/** The former leader follows by the ordinary means, to the end, and both hold the same. */
async function expectFollows(group: FailoverGroup, region: RegionId, leader: RegionId): Promise<void> {
  await group.writePath.canary(leader);
  for (let i = 0; i < 6; i++) {
    group.scheduler.advance(1_000);
    await group.round(leader);
  }
  const { epoch } = await group.control(region).role();
  const { kind } = await relay(group.own(leader), group.own(region), LANE_0, epoch);
  expect(kind).toBe('current');
  await group.apply(region);
  expect((await group.own(region).head(LANE_0)).chain).toBe((await group.own(leader).head(LANE_0)).chain);
  const { applied, snapshot } = await group.control(region).applyState(LANE_0);
  expect([applied?.lsn, snapshot]).toEqual([(await group.own(leader).head(LANE_0)).lastLsn, undefined]);
  expect(contents(group, region)).toEqual(contents(group, leader));
}

function keyOf({ key }: Line): string {
  return (key.pk as Extract<AttributeValue, { S: string }>).S;
}

describe('a former leader that comes back', () => {
  test.each<readonly [string, Story, number]>([
    ['a tail that its log has', { captured: true }, 8],
    ['writes that no log has', { uncaptured: true }, 8],
    ['both', { captured: true, uncaptured: true }, 15],
    ['both, where the new leader has logged more', { captured: true, uncaptured: true, longer: true }, 15],
    [
      'writes that no log has, on top of whose log the new leader has written',
      { uncaptured: true, pushed: true },
      8,
    ],
    ['both, two epochs later', { captured: true, uncaptured: true, epoch: E3 }, 15],
  ])(
    'with %s: all of it is in the report, gone from store and log, and it follows',
    async (_, story, count) => {
      const group = await divided(story);
      expect(await reattached(group, EU)).toEqual({ kind: 'attached', divergent: count });
      const lines = await report(group, EU, E1);
      expect(lines).toHaveLength(count);
      expect(lines.filter(({ lsn }) => lsn !== null)).toHaveLength(story.captured ? 8 : 0);
      const { epoch, attached, led } = await group.control(EU).role();
      expect([attached, led]).toEqual([epoch, undefined]);
      // That nobody needs them is for a person to say.
      expect((await group.divergences.get(EU)!.of(E1))!.discarded).toBeUndefined();
      await expectFollows(group, EU, US);
    },
  );

  test('is as it was at the common prefix before it follows: to the byte', async () => {
    const group = await divided({ captured: true, uncaptured: true });
    const before = await replicated();
    await reattached(group, EU);
    expect(contents(group, EU)).toEqual(contents(before, EU));
    const rows = [...contents(group, EU).values()];
    expect(rows.find(({ pk }) => (pk as { S: string }).S === 'rich')).toEqual(RICH);
    expect(rows.some(({ pk }) => (pk as { S: string }).S === 'inserted')).toBe(false);
    expect(rows.some(({ pk }) => (pk as { S: string }).S === 'deleted')).toBe(true);
  });

  test('has a log that ends where the two parted, without strays', async () => {
    const group = await divided({ captured: true });
    await reattached(group, EU);
    const entries = await allEntries(group.own(EU));
    const leader = await allEntries(group.own(US));
    expect(entries).toEqual(leader.slice(0, entries.length));
    expect(entries.length).toBe(leader.length - 1);
    expect((await group.own(EU).head(LANE_0)).chain).toBe(entries.at(-1)!.chain);
  });

  test('loses nothing that is logged there after the rewind', async () => {
    const group = await divided({ captured: true });
    await reattached(group, EU);
    await expectFollows(group, EU, US);
    const entries = await allEntries(group.own(EU));
    expect(await reattached(group, EU)).toEqual({ kind: 'attached', divergent: 0 });
    expect(await allEntries(group.own(EU))).toEqual(entries);
  });

  test('has a report that people can read: in order, with key, before, after and time', async () => {
    const group = await divided({ captured: true });
    await reattached(group, EU);
    const lines = await report(group, EU, E1);
    expect(lines.map(keyOf)).toEqual([
      'changed',
      'inserted',
      'changed',
      'deleted',
      'again',
      'again',
      'rich',
      'inserted',
    ]);
    expect(lines[0]).toMatchObject({ kind: 'update', before: { value: n(1) }, after: { value: n(100) } });
    expect(lines[3]).toMatchObject({ kind: 'delete', before: { value: n(1) }, after: null });
    expect(lines[6]!.before).toMatchObject({ number: RICH.number, bytes: { B: 'AP+ACg==' } });
    expect(lines[0]).toMatchObject({ at: expect.stringMatching(/^20\d\d-.*Z$/), lsn: expect.any(String) });
    const { report: saved } = (await group.divergences.get(EU)!.of(E1))!;
    expect(saved).toMatchObject({ changes: 8, keys: 5, savedAtMs: group.now() });
  });

  test('waits for what is still on its way out of its stream', async () => {
    const group = await divided({ uncaptured: true });
    group.capturing = false;
    const since = group.now();
    for (let i = 0; i < 4; i++) {
      group.scheduler.advance(1_000);
      expect(await reattach(depsOf(group, EU), since)).toEqual({ kind: 'collecting', divergent: 0 });
    }
    expect(await group.divergences.get(EU)!.of(E1)).toBeUndefined();
    await group.capture(EU);
    group.capturing = true;
    expect(await reattached(group, EU, since)).toEqual({ kind: 'attached', divergent: 8 });
  });

  test('with nothing divergent is attached without a report', async () => {
    const group = await divided({});
    expect(await reattached(group, EU)).toEqual({ kind: 'attached', divergent: 0 });
    expect((await group.divergences.get(EU)!.of(E1))?.report).toBeUndefined();
    await expectFollows(group, EU, US);
  });

  test('takes a follower back that had applied no more than a heartbeat which the new leader never got', async () => {
    const group = await replicated();
    group.scheduler.advance(1_000);
    group.beat(EU);
    await group.capture(EU);
    await group.follow(AP);
    await group.own(US).seal(LANE_0, E2);
    await group.lead(US, E2);
    group.put(US, 'new', 7);
    await group.capture(US);
    expect(await reattached(group, AP)).toEqual({ kind: 'attached', divergent: 0 });
    const { applied } = await group.control(AP).applyState(LANE_0);
    expect(applied!.lsn).toBe((await group.own(AP).head(LANE_0)).lastLsn);
    await expectFollows(group, AP, US);
  });

  test.each(['put', 'save'])('changes nothing as long as the report cannot be %s', async (write) => {
    const group = await divided({ captured: true, uncaptured: true });
    const since = group.now() - 60_000;
    await group.capture(EU);
    const state = async () => ({
      rows: new Map(group.store(EU).contents()),
      entries: await allEntries(group.own(EU)),
      applied: await group.control(EU).applyState(LANE_0),
      role: await group.control(EU).role(),
    });
    const before = await state();
    const deps = depsOf(group, EU);
    const failing = new Proxy(deps.divergences, {
      get: (target, name) =>
        name === write ? async () => Promise.reject(new Error('throttled')) : Reflect.get(target, name),
    });
    await expect(reattach({ ...deps, divergences: failing }, since)).rejects.toThrow('throttled');
    expect(await state()).toEqual(before);
    expect(await reattached(group, EU, since)).toEqual({ kind: 'attached', divergent: 15 });
  });

  test('does nothing while it leads, or is attached already', async () => {
    const group = await replicated();
    const entries = await allEntries(group.own(EU));
    expect(await reattach(depsOf(group, EU), group.now())).toEqual({ kind: 'attached', divergent: 0 });
    expect(await reattach(depsOf(group, AP), group.now())).toEqual({ kind: 'attached', divergent: 0 });
    expect(await allEntries(group.own(EU))).toEqual(entries);
    expect((await group.own(EU).head(LANE_0)).sealedEpoch).toBe(1);
  });

  test('whose apply lease is taken by another on the way changes no position and calls again', async () => {
    const group = await divided({ captured: true });
    const deps = depsOf(group, EU);
    let taken = false;
    const stolen = new Proxy(deps.control, {
      get: (target, name) => {
        if (name !== 'takeLease' || taken) return Reflect.get(target, name);
        return async () => {
          taken = true;
          const mine = await target.takeLease(LANE_0);
          await group.control(EU).takeLease(LANE_0);
          return mine;
        };
      },
    });
    // Past the wait for its stream.
    const since = group.now() - 60_000;
    await group.writePath.canary(EU);
    expect((await reattach({ ...deps, control: stolen }, since)).kind).toBe('collecting');
    expect((await group.control(EU).role()).attached).toBe(1);
    expect((await reattached(group, EU, since)).kind).toBe('attached');
    await expectFollows(group, EU, US);
  });
});

describe('a crash at any await, and another call', () => {
  type End = {
    readonly rows: ReadonlyMap<string, Item>;
    readonly entries: readonly unknown[];
    readonly applied: unknown;
    readonly lines: readonly Line[];
  };

  /** Re-attaches, crashing at await `at` of the decisive call; undefined if it did not get so far. */
  async function endOf(
    region: RegionId,
    build: () => Promise<FailoverGroup>,
    at: number,
  ): Promise<End | undefined> {
    const group = await build();
    const since = group.now();
    for (let calls = 0; calls < 3; calls++) {
      await group.writePath.canary(region);
      group.scheduler.advance(1_000);
    }
    const crash = new CrashAt(at);
    const call = reattach(depsOf(group, region, crash), since);
    const crashed = await call.then(
      () => false,
      (error: unknown) => {
        if (!(error instanceof Crash)) throw error;
        return true;
      },
    );
    if (!crashed && Number.isFinite(at)) return undefined;
    expect((await reattached(group, region, since)).kind).toBe('attached');
    const { applied } = await group.control(region).applyState(LANE_0);
    const epoch = E1;
    const end = {
      rows: contents(group, region),
      entries: await allEntries(group.own(region)),
      applied: applied?.lsn,
      lines: await report(group, region, epoch),
    };
    await expectFollows(group, region, US);
    return end;
  }

  test.each<readonly [string, RegionId, () => Promise<FailoverGroup>]>([
    ['a former leader with a logged tail', EU, () => divided({ captured: true })],
    ['a former leader with writes that no log has', EU, () => divided({ uncaptured: true })],
    ['a former leader with both', EU, () => divided({ captured: true, uncaptured: true })],
    [
      'a former leader on top of whose log another has written',
      EU,
      () => divided({ uncaptured: true, pushed: true }),
    ],
    ['a follower that was ahead', AP, () => followerAhead()],
  ])('%s: ends the same', async (_, region, build) => {
    const expected = await endOf(region, build, Number.POSITIVE_INFINITY);
    let at = 0;
    for (; at < 500; at++) {
      const end = await endOf(region, build, at);
      if (end === undefined) break;
      expect(end, `crash at await ${at}`).toEqual(expected);
    }
    expect(at).toBeGreaterThan(15);
  });
});

/** AP has a tail of EU's, and has applied a part of it, when US takes over. */
async function followerAhead(appliedAll = true): Promise<FailoverGroup> {
  const group = await replicated();
  writeTail(group, 100);
  await group.capture(EU);
  await group.pull(AP);
  if (appliedAll) await group.apply(AP);
  await group.own(US).seal(LANE_0, E2);
  await group.lead(US, E2);
  group.put(US, 'new', 7);
  await group.capture(US);
  return group;
}

describe('a follower', () => {
  test.each([
    ['applied', true],
    ['not applied yet', false],
  ])('that was ahead, with a tail that it has %s: goes back and follows', async (_, appliedAll) => {
    const group = await followerAhead(appliedAll);
    expect(await reattached(group, AP)).toEqual({ kind: 'attached', divergent: 7 });
    expect(await report(group, AP, E1)).toHaveLength(7);
    await expectFollows(group, AP, US);
  });

  test('that was behind is attached as it is', async () => {
    const group = await divided({});
    const entries = await allEntries(group.own(AP));
    expect(await reattached(group, AP)).toEqual({ kind: 'attached', divergent: 0 });
    expect(await allEntries(group.own(AP))).toEqual(entries);
    await expectFollows(group, AP, US);
  });

  test('that missed an epoch altogether is attached to the one after it', async () => {
    const group = await followerAhead();
    // US is replaced by EU at once, which had all of the tail: AP never heard of US.
    await group.own(EU).seal(LANE_0, E3);
    await group.control(AP).nameLeader({ epoch: E3, leader: EU });
    await group.control(EU).nameLeader({ epoch: E3, leader: EU });
    group.put(EU, 'third', 3);
    await group.capture(EU);
    expect(await reattached(group, AP)).toEqual({ kind: 'attached', divergent: 0 });
    await expectFollows(group, AP, EU);
  });
});

describe('a follower whose store was copied, and is ahead of its own log,', () => {
  /** AP has copied the store of US in epoch 2; its log ends where that of epoch 1 did. */
  const copied = async () => {
    const group = await divided({ longer: true });
    expect(await reattached(group, AP)).toEqual({ kind: 'attached', divergent: 0 });
    for (const item of group.store(US).contents().values()) group.store(AP).put(item);
    await group.capture(AP);
    const { lastLsn: lsn, lastEpoch: epoch, ...end } = await group.own(US).head(LANE_0);
    const { lease } = await group.control(AP).takeLease(LANE_0);
    const state = { applied: { lsn, epoch, totalBytes: end.totalBytes, commitMs: end.lastCommitMs } };
    await group.control(AP).saveApplyState(lease, state);
    expect(lsn).toBeGreaterThan((await group.own(AP).head(LANE_0)).lastLsn);
    return { group, state };
  };

  test('keeps its copy where the next leader has all of it', async () => {
    const { group, state } = await copied();
    await group.own(US).seal(LANE_0, E3);
    await group.lead(US, E3);
    expect(await reattached(group, AP)).toEqual({ kind: 'attached', divergent: 0 });
    expect(await group.control(AP).applyState(LANE_0)).toEqual(state);
    await expectFollows(group, AP, US);
  });

  test('copies anew where the next leader never got it', async () => {
    const { group } = await copied();
    await group.own(EU).seal(LANE_0, E3);
    await group.lead(EU, E3);
    group.put(EU, 'third', 3);
    for (let value = 0; value < 30; value++) {
      group.put(EU, 'new', value);
      await group.capture(EU);
    }
    const back = await reattached(group, AP, group.now(), depsOf(group, AP, undefined, EU));
    expect(back).toEqual({ kind: 'rebuilding', divergent: 0 });
    await expectFollows(group, AP, EU);
  });
});

test("what a later leader wrote on top of a former leader's log, and took with it, was never in its store", async () => {
  const group = await divided({ uncaptured: true, pushed: true });
  await group.own(AP).seal(LANE_0, E3);
  await group.lead(AP, E3);
  group.put(AP, 'changed', 9);
  await group.capture(AP);
  const back = await reattached(group, EU, group.now(), depsOf(group, EU, undefined, AP));
  expect(back).toEqual({ kind: 'attached', divergent: 10 });
  await expectFollows(group, EU, AP);
});

describe('a Region that was on its way back to a leader that died, where one leads that never heard of it', () => {
  /** EU's tail is logged and applied at AP, too; US leads epoch 2, and has neither the tail nor a Region that follows it. */
  async function tailAtTwo(): Promise<FailoverGroup> {
    const group = await replicated();
    group.scheduler.advance(1_000);
    writeTail(group, 100);
    await group.capture(EU);
    await group.follow(AP);
    await group.own(US).seal(LANE_0, E2);
    return group;
  }

  /** The way back of `region` to US breaks off at await `at`; then `leader`, which has the tail, leads epoch 3. */
  async function brokenOff(region: RegionId, leader: RegionId, at: number, uncaptured = false) {
    const group = await tailAtTwo();
    for (const each of [US, region]) await group.control(each).nameLeader({ leader: US, epoch: E2 });
    if (uncaptured) writeTail(group, 200);
    const since = group.now();
    for (let calls = 0; calls < 3; calls++) {
      await group.writePath.canary(region);
      group.scheduler.advance(1_000);
    }
    const crash = new CrashAt(at);
    const ended = await reattach(depsOf(group, region, crash), since).catch((error: unknown) => {
      if (!(error instanceof Crash)) throw error;
    });
    await group.own(leader).seal(LANE_0, E3);
    for (const each of [leader, region]) await group.control(each).nameLeader({ leader, epoch: E3 });
    return { group, isWhole: ended !== undefined };
  }

  test.each<readonly [string, RegionId, RegionId, boolean]>([
    ['the former leader, with a logged tail', EU, AP, false],
    ['the former leader, with writes that no log has as well', EU, AP, true],
    ['a follower that was ahead', AP, EU, false],
  ])('%s: it holds all that its log does, wherever it broke off', async (_, region, leader, uncaptured) => {
    for (let at = 0; ; at++) {
      const { group, isWhole } = await brokenOff(region, leader, at, uncaptured);
      const before = await report(group, region, E1);
      const deps = depsOf(group, region, undefined, leader);
      // Once for nothing: it dies before it can say so.
      await reattached(group, region, group.now(), { ...deps, control: neverAttached(deps.control) });
      await reattached(group, region, group.now(), deps);
      await expectFollows(group, region, leader).catch((cause: unknown) => {
        throw new Error(`broken off at await ${at}`, { cause });
      });
      expect(await report(group, region, E1)).toEqual(expect.arrayContaining([...before]));
      if (isWhole) {
        expect(at).toBeGreaterThan(15);
        return;
      }
    }
  });
});

test('a Region that was taken back for a leader goes on where the next has what that one wrote', async () => {
  const group = await divided({ captured: true });
  expect((await reattached(group, AP)).kind).toBe('attached');
  expect((await reattached(group, EU)).kind).toBe('attached');
  await group.follow(AP);
  // Logged at EU, and not applied yet.
  await group.pull(EU);
  await group.own(AP).seal(LANE_0, E3);
  await group.lead(AP, E3);
  expect((await reattached(group, EU, group.now(), depsOf(group, EU, undefined, AP))).kind).toBe('attached');
  await expectFollows(group, EU, AP);
});

test('a log that a later epoch has sealed stays as it is: its election goes by it', async () => {
  const group = await divided({ captured: true });
  await group.own(EU).seal(LANE_0, E3);
  const before = [await allEntries(group.own(EU)), contents(group, EU)];
  const since = group.now() - 60_000;
  for (let calls = 0; calls < 3; calls++) {
    expect(await reattach(depsOf(group, EU), since)).toEqual({ kind: 'collecting', divergent: 0 });
  }
  expect([await allEntries(group.own(EU)), contents(group, EU)]).toEqual(before);
  await group.lead(US, E3);
  expect((await reattached(group, EU)).kind).toBe('attached');
  await expectFollows(group, EU, US);
});

test('a call that slept until its Region followed a later leader changes nothing', async () => {
  const group = await followerAhead();
  const { control, ...deps } = depsOf(group, AP);
  const slow = new Proxy(control, {
    get: (target, name) => {
      if (name !== 'takeLease') return Reflect.get(target, name);
      return async () => {
        // EU, which has all of the tail that AP has, leads by now, and AP follows it.
        await group.own(EU).seal(LANE_0, E3);
        await group.lead(EU, E3);
        await reattached(group, AP, group.now(), depsOf(group, AP, undefined, EU));
        return target.takeLease(LANE_0);
      };
    },
  });
  expect((await reattach({ ...deps, control: slow }, group.now())).kind).toBe('collecting');
  await expectFollows(group, AP, EU);
});

describe('a Region whose log does not reach back to where the two parted', () => {
  test.each([
    ['its own log is trimmed', EU],
    ["the leader's log is trimmed", US],
  ])('because %s, saves what it has and takes a new copy', async (_, trimmed) => {
    const group = await divided({ captured: true, uncaptured: true });
    const { lastLsn } = await group.own(trimmed).head(LANE_0);
    await trimTo(group.own(trimmed), group.own(trimmed), lastLsn);
    const { kind, divergent } = await reattached(group, EU);
    expect(kind).toBe('rebuilding');
    const lines = await report(group, EU, E1);
    expect(lines).toHaveLength(divergent);
    // The writes that no log has, and whatever of its log is still there.
    expect(lines.filter(({ lsn }) => lsn === null)).toHaveLength(7);
    expect(lines.filter(({ lsn }) => lsn !== null).length).toBeGreaterThan(0);
    await expectFollows(group, EU, US);
  });

  test('because nothing of it is left, takes a new copy', async () => {
    const group = await divided({});
    const head = await group.own(EU).head(LANE_0);
    await group.own(EU).rebase(LANE_0, head, head);
    expect((await reattached(group, EU)).kind).toBe('rebuilding');
    await expectFollows(group, EU, US);
  });

  test('keeps its whole report when it crashes on the way', async () => {
    for (let at = 0; at < 200; at++) {
      const group = await divided({ captured: true, uncaptured: true });
      await trimTo(group.own(US), group.own(US), (await group.own(US).head(LANE_0)).lastLsn);
      const since = group.now();
      for (let i = 0; i < 3; i++) {
        await group.writePath.canary(EU);
        group.scheduler.advance(1_000);
      }
      const crash = new CrashAt(at);
      const ended = await reattach(depsOf(group, EU, crash), since).catch(() => undefined);
      await reattached(group, EU, since);
      const lines = await report(group, EU, E1);
      expect(lines.filter(({ lsn }) => lsn !== null).length, `crash at await ${at}`).toBeGreaterThanOrEqual(
        8,
      );
      expect(lines.filter(({ lsn }) => lsn === null)).toHaveLength(7);
      if (ended !== undefined) return;
    }
    throw new Error('it never got through');
  });
});

test('a first copy that was under way when the leader was lost starts over at the new one', async () => {
  const group = await divided({});
  const { lease, state } = await group.control(AP).takeLease(LANE_0);
  const snapshot = {
    phase: 'copy' as const,
    startLsn: state.applied!.lsn,
    startEpoch: parseEpoch(1),
    cursor: '',
    rowsCopied: 2,
    rowsEstimated: 5,
  };
  // It has copied a row of EU that no log has.
  group.put(AP, 'copied', 1);
  await group.capture(AP);
  await group.control(AP).saveApplyState(lease, { ...state, snapshot });
  expect((await reattached(group, AP)).kind).toBe('rebuilding');
  await expectFollows(group, AP, US);
});

test('a store that one epoch has left to a new copy is not taken for whole by the re-attachment of the next', async () => {
  const group = await divided({ captured: true, uncaptured: true });
  const { control, ...deps } = depsOf(group, EU);
  const since = group.now();
  const superseded = neverAttached(control);
  for (let tries = 0; tries < 10; tries++) {
    await reattach({ ...deps, control: superseded }, since);
    group.scheduler.advance(1_000);
  }
  const { lease } = await control.takeLease(LANE_0);
  await control.saveApplyState(lease, {});
  await group.own(US).seal(LANE_0, E3);
  await group.lead(US, E3);
  expect((await reattached(group, EU)).kind).toBe('rebuilding');
  await expectFollows(group, EU, US);
});

test('a leader whose copy was never whole is copied anew, also after a crash that leaves no report', async () => {
  const group = await divided({});
  const { control, ...deps } = depsOf(group, EU);
  const { lease, state } = await control.takeLease(LANE_0);
  const snapshot = {
    phase: 'copy' as const,
    startLsn: state.applied?.lsn ?? LSN_ZERO,
    startEpoch: parseEpoch(1),
    cursor: '',
    rowsCopied: 2,
    rowsEstimated: 5,
  };
  // As a forced promotion leaves it.
  await control.saveApplyState(lease, { ...state, snapshot });
  expect((await reattached(group, EU, group.now(), { ...deps, control: neverAttached(control) })).kind).toBe(
    'rebuilding',
  );
  expect((await deps.divergences.of(parseEpoch(1)))?.report).toBeUndefined();
  expect((await reattached(group, EU)).kind).toBe('rebuilding');
  await expectFollows(group, EU, US);
});
