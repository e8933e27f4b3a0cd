import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LANE_0, parseGroupId } from '#lib/domain/ids.ts';
import { emptyHead, type Head } from '#lib/domain/log.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { itemSize, MAX_REPLICATED_BYTES } from '#lib/engines/dynamodb/item-size.ts';
import { readStamp, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import type { ApplyState } from '#lib/ports/control.ts';
import type { ApplyOutcome } from '#lib/ports/replica-store.ts';
import { anyMoves, type Move } from '../../support/adversary.ts';
import { itemOf } from '../../support/apply-world.ts';
import {
  anyHappening,
  anyLeftover,
  type Happening,
  ROWS,
  SnapshotWorld,
} from '../../support/snapshot-world.ts';
import { keyBytes, n, PK, s } from '../../support/stream-records.ts';

/** What happens at each await of the copy. */
type Course = readonly (readonly Happening[])[];

const course: fc.Arbitrary<Course> = fc.array(fc.array(anyHappening, { maxLength: 4 }), { maxLength: 60 });

function play(world: SnapshotWorld, course: Course): void {
  const left = course.values();
  world.adversary.onAwait = async () => {
    for (const happening of left.next().value ?? []) await world.happen(happening);
  };
}

/** Rows come and go, each in a rhythm of its own, and all is shipped at every await. */
const BUSY: Course = Array.from({ length: 60 }, (_, at) => [
  ...ROWS.filter((_, index) => at % (index + 2) === 0).map((key, index): Happening => {
    return (at + index) % 3 === 0 ? { kind: 'put', key, value: (at % 9) + 1 } : { kind: 'delete', key };
  }),
  { kind: at % 10 === 9 ? 'beat' : 'ship' },
]);

describe('a snapshot followed by the log', () => {
  test("gives the leader's table, whatever goes on there and befalls the copier", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.subarray([...ROWS]),
        fc.array(anyHappening, { maxLength: 12 }),
        fc.array(anyLeftover, { maxLength: 5 }),
        course,
        anyMoves,
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(1, 2),
        async (rows, past, leftovers, course, moves, pageSize, shards) => {
          const world = new SnapshotWorld({ moves, pageSize, shards });
          await world.begin(rows, past, leftovers);
          play(world, course);
          await world.replicate();
          expect(world.contents(world.follower)).toEqual(world.contents(world.leader));
          // Positions are exact where one stream orders all changes, and no stale copier has run ahead.
          if (shards === 1 && !moves.includes('wake')) expect(world.torn).toEqual([]);
          world.origins.applied.length = 0;
          await world.adversary.wakeAll();
          expect(world.origins.applied).toEqual([]);
          expect(world.origins.mistaken).toEqual([]);
          expectProgress(world);
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each<Move>(['crash', 'fail', 'freeze', 'stall'])(
    "gives the leader's table after a %s at every other await",
    async (move) => {
      for (let at = 0, awaits = Number.POSITIVE_INFINITY; at < awaits; at += 2) {
        const world = new SnapshotWorld({ moves: [...Array<Move>(at).fill('go'), move] });
        await world.begin(
          [...ROWS].slice(0, 4),
          [{ kind: 'capture', shard: 0 }],
          [
            { key: 'a', stamp: 'none', back: 0 },
            { key: 'e', stamp: "another key's", back: 0 },
            { key: 'f', stamp: 'none', back: 0 },
          ],
        );
        play(world, BUSY);
        const happen = world.adversary.onAwait;
        let passed = 0;
        world.adversary.onAwait = (...call) => {
          passed++;
          return happen(...call);
        };
        await world.replicate();
        expect(world.contents(world.follower)).toEqual(world.contents(world.leader));
        expect(world.torn).toEqual([]);
        await world.adversary.wakeAll();
        expect(world.contents(world.follower)).toEqual(world.contents(world.leader));
        expect(world.origins.mistaken).toEqual([]);
        expectProgress(world);
        if (passed <= at) awaits = at;
      }
    },
  );

  test.each(['before', 'after'] as const)(
    'brings no row back that is deleted just %s its page is read',
    async (moment) => {
      for (const shipped of ['at once', 'after the page is written'] as const) {
        const world = new SnapshotWorld({ pageSize: 2 });
        await world.begin(ROWS, [], []);
        const left = ROWS.values();
        world.adversary.onAwait = async (method, when) => {
          // So that there is something to apply after each page.
          if (method === 'head' && when === 'before') {
            await world.happen({ kind: 'beat' });
            await world.happen({ kind: 'ship' });
          }
          if (method === 'scan' && when === moment) {
            for (const key of [left.next().value, left.next().value]) {
              if (key !== undefined) await world.happen({ kind: 'delete', key });
            }
            if (shipped === 'at once') await world.happen({ kind: 'ship' });
          }
          if (method === 'putLeased' && when === 'after') await world.happen({ kind: 'ship' });
        };
        await world.replicate();
        expect(world.contents(world.leader)).toEqual(new Map());
        expect(world.contents(world.follower)).toEqual(new Map());
      }
    },
  );
});

/** A leader and a follower without a log between them, to take single steps. */
function setUp(options: { pageSize?: number } = {}) {
  const control = new MemoryControl();
  const store = (holds: boolean) =>
    new MemoryItemStore({
      keyNames: ['pk'],
      holds: (lease) => holds && control.holds(lease),
      pageSize: options.pageSize ?? 2,
    });
  const [leader, follower] = [store(false), store(true)];
  return {
    control,
    leader,
    follower,
    replica: new DynamoReplica({ store: follower, leader, control, key: PK }),
  };
}

function headAt(lsn: number): Head {
  const head = emptyHead(parseGroupId('orders'), LANE_0);
  return {
    ...head,
    lastLsn: parseLsn(lsn),
    lastEpoch: parseEpoch(1),
    totalBytes: BigInt(lsn * 10),
    lastCommitMs: lsn,
  };
}

function stateOf(outcome: ApplyOutcome): ApplyState {
  if (outcome.kind === 'lost') throw new Error('the lease is lost');
  return outcome.state;
}

describe('a snapshot', () => {
  test('begins at the end of the log, with the estimate of the leader', async () => {
    const { control, leader, replica } = setUp();
    for (const row of ROWS) leader.put(itemOf(row, 1));
    const { lease } = await control.takeLease(LANE_0);
    const state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    expect(state).toEqual({
      applied: { lsn: 7n, epoch: 1, totalBytes: 70n, commitMs: 7 },
      snapshot: { phase: 'copy', startLsn: 7n, startEpoch: 1, rowsCopied: 0, rowsEstimated: ROWS.length },
    });
    expect(await control.applyState(LANE_0)).toEqual(state);
  });

  test('copies a page a step, counts the rows, and stamps them with the end of the log', async () => {
    const { control, leader, follower, replica } = setUp();
    for (const row of ROWS) leader.put(itemOf(row, 1));
    const { lease } = await control.takeLease(LANE_0);
    let state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    const counts: (number | undefined)[] = [];
    for (let lsn = 8; state.snapshot?.phase === 'copy'; lsn++) {
      state = stateOf(await replica.stepSnapshot(lease, state, headAt(lsn)));
      counts.push(state.snapshot?.rowsCopied);
      expect(await control.applyState(LANE_0)).toEqual(state);
    }
    expect(counts).toEqual([2, 4, 6]);
    expect(state.snapshot?.cursor).toBeUndefined();
    expect(follower.contents()).toEqual(leader.contents());
    const first = await follower.scan(undefined);
    expect(first.rows.map(({ stamp }) => readStamp(stamp!).lsn)).toEqual([8n, 8n]);
    // The position is where it was: what was copied is not applied.
    expect(state.applied?.lsn).toBe(7n);
  });

  test('copies a page of more rows than a leased write takes', async () => {
    const { control, leader, follower, replica } = setUp({ pageSize: 250 });
    for (let index = 0; index < 250; index++) leader.put({ pk: s(`k${index}`) });
    const { lease } = await control.takeLease(LANE_0);
    const state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    expect(stateOf(await replica.stepSnapshot(lease, state, headAt(7))).snapshot?.rowsCopied).toBe(250);
    expect(follower.contents()).toEqual(leader.contents());
  });

  test('copies the stamps of a former follower no further', async () => {
    const { control, leader, follower, replica } = setUp();
    leader.put(itemOf('a', 1), stampOf(parseEpoch(9), parseLsn(9), keyBytes(PK, itemOf('a', 1))));
    const { lease } = await control.takeLease(LANE_0);
    const state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    await replica.stepSnapshot(lease, state, headAt(7));
    const { rows } = await follower.scan(undefined);
    expect(rows.map(({ stamp }) => readStamp(stamp!))).toEqual([{ epoch: 1, lsn: 7n }]);
  });

  test('is complete only when a heartbeat that was written after the copy has been applied', async () => {
    const { control, leader, follower, replica } = setUp({ pageSize: 10 });
    leader.put(heartbeatItem(PK, 100));
    const { lease } = await control.takeLease(LANE_0);
    let state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    for (const phase of ['sweep', 'settle', 'settle'] as const) {
      state = stateOf(await replica.stepSnapshot(lease, state, headAt(7)));
      expect(state.snapshot).toMatchObject({ phase, watermarkMs: 100 });
    }
    follower.put(heartbeatItem(PK, 100));
    expect(stateOf(await replica.stepSnapshot(lease, state, headAt(8))).snapshot?.phase).toBe('settle');
    follower.put(heartbeatItem(PK, 101));
    const done = stateOf(await replica.stepSnapshot(lease, state, headAt(8)));
    expect(done).toEqual({ applied: state.applied });
    expect(await control.applyState(LANE_0)).toEqual(done);
    expect(await replica.stepSnapshot(lease, done, headAt(9))).toEqual({ kind: 'applied', state: done });
  });

  test('is told by name of a row that leaves no room for its stamp', async () => {
    const { control, leader, replica } = setUp();
    const fits = MAX_REPLICATED_BYTES - itemSize({ pk: s('a'), blob: s('') });
    const { lease } = await control.takeLease(LANE_0);
    const state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    leader.put({ pk: s('a'), blob: s('x'.repeat(fits)) });
    await replica.stepSnapshot(lease, state, headAt(7));
    leader.put({ pk: s('a'), blob: s('x'.repeat(fits + 1)) });
    await expect(replica.stepSnapshot(lease, state, headAt(7))).rejects.toMatchObject({
      code: 'ITEM_TOO_LARGE',
    });
  });

  test('is lost, and changes nothing, once somebody else holds the lease', async () => {
    const { control, leader, follower, replica } = setUp({ pageSize: 10 });
    leader.put(itemOf('a', 1));
    follower.put(itemOf('b', 2));
    const first = await control.takeLease(LANE_0);
    const begun = stateOf(await replica.beginSnapshot(first.lease, headAt(7)));
    await control.takeLease(LANE_0);
    const before = follower.contents();
    for (const phase of ['copy', 'sweep', 'settle'] as const) {
      const state = { ...begun, snapshot: { ...begun.snapshot!, phase } };
      expect(await replica.stepSnapshot(first.lease, state, headAt(8))).toEqual({ kind: 'lost' });
    }
    expect(await replica.beginSnapshot(first.lease, headAt(9))).toEqual({ kind: 'lost' });
    expect(follower.contents()).toEqual(before);
    expect(await control.applyState(LANE_0)).toEqual(begun);
  });

  test("sweeps page by page what is not the leader's, and nothing else", async () => {
    const { control, follower, replica } = setUp({ pageSize: 1 });
    const stamp = (lsn: number, key: string, deleting = false) =>
      stampOf(parseEpoch(1), parseLsn(lsn), keyBytes(PK, { pk: s(key) }), deleting);
    const kept = { copied: stamp(7, 'copied'), logged: stamp(8, 'logged') };
    const swept = {
      old: stamp(6, 'old'),
      unstamped: undefined,
      foreign: stamp(9, 'another'),
      marked: stamp(7, 'marked', true),
      'marked by a step cut short': stamp(9, 'marked by a step cut short', true),
    };
    for (const [key, of] of Object.entries({ ...kept, ...swept }))
      follower.put({ pk: s(key), value: n(1) }, of);
    const { lease } = await control.takeLease(LANE_0);
    let state = stateOf(await replica.beginSnapshot(lease, headAt(7)));
    state = { ...state, snapshot: { ...state.snapshot!, phase: 'sweep' } };
    let steps = 0;
    for (; state.snapshot?.phase === 'sweep'; steps++) {
      state = stateOf(await replica.stepSnapshot(lease, state, headAt(9)));
    }
    expect(steps).toBe(7);
    expect([...follower.contents().values()].map(({ pk }) => pk)).toEqual([s('copied'), s('logged')]);
  });
});

const ORDER = { copy: 0, sweep: 1, settle: 2, none: 3 };

/** Phases only move on, and counts only grow. */
function expectProgress({ saved }: SnapshotWorld): void {
  const steps = saved.map(
    ({ snapshot }) =>
      [ORDER[snapshot?.phase ?? 'none'], snapshot?.rowsCopied ?? Number.POSITIVE_INFINITY] as const,
  );
  for (const [index, [phase, rows]] of steps.slice(1).entries()) {
    const [phaseBefore, rowsBefore] = steps[index]!;
    expect(phase).toBeGreaterThanOrEqual(phaseBefore);
    expect(rows).toBeGreaterThanOrEqual(rowsBefore);
  }
}
