import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { LSN_ZERO } from '#lib/domain/lsn.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { isMark } from '#lib/engines/dynamodb/stamp.ts';
import { type ItemStore, MAX_LEASED } from '#lib/ports/item-store.ts';
import { anyMoves, type Move } from '../../support/adversary.ts';
import {
  anyBears,
  anyHistory,
  anyLocalWrite,
  type Contents,
  Follower,
  History,
  itemOf,
  KEYS,
  type LocalWrite,
} from '../../support/apply-world.ts';
import { PK, s } from '../../support/stream-records.ts';

const lengths = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 });

/** One of each: insert, update, delete, insert again, and keys that several records of a run touch. */
const EACH_KIND = new History(
  new Map([
    ['a', itemOf('a', 0)],
    ['b', itemOf('b', 0)],
  ]),
  [
    [
      { key: 'a', value: 1 },
      { key: 'c', value: 1 },
    ],
    [{ key: 'b' }, { key: 'd', value: 2 }, { key: 'd', value: 3 }],
    [{ key: 'a' }, { key: 'c', value: 4 }, { key: 'd' }],
    [{ key: 'b', value: 5 }, { key: 'a', value: 5 }, { key: 'a' }],
    [{ key: 'c' }, { key: 'b', value: 6 }, { key: 'd', value: 7 }],
  ],
  [0, 0, 1],
);

/** Every way to write to every key, with the others' stamps too. */
const ALL_LOCAL_WRITES: readonly LocalWrite[] = KEYS.flatMap((key, index) => {
  const from = KEYS[(index + 1) % KEYS.length]!;
  const kinds = ['keep', 'drop', 'copy', 'delete', 'copy', 'keep'] as const;
  return kinds.map((kind, value) => ({ kind, key, from, value: 10 + value }));
});

async function promote(follower: Follower, history: History, writes: readonly LocalWrite[]): Promise<void> {
  expect(follower.contents()).toEqual(history.stateAt(history.end));
  await follower.control.takeLease(LANE_0);
  follower.origins.forget();
  let contents: Contents = follower.contents();
  let written = 0;
  const write = () => {
    const next = writes[written++];
    if (next !== undefined) contents = follower.writeLocally(contents, next);
  };
  // Half of the writes come before anybody wakes up, the others between the steps of those who do.
  for (let i = 0; i < writes.length / 2; i++) write();
  follower.adversary.onAwait = write;
  await follower.adversary.wakeAll();
  expect(follower.origins.applied).toEqual([]);
  expect(follower.origins.mistaken).toEqual([]);
  expect(follower.contents()).toEqual(contents);
}

describe('apply', () => {
  test('leaves the table as the leader had it at each position that it saves, whatever befalls its processes', async () => {
    await fc.assert(
      fc.asyncProperty(anyHistory, anyBears, anyMoves, lengths, async (history, bears, moves, lengths) => {
        const runLength = (from: number) => lengths[from % lengths.length]!;
        const follower = new Follower(history, { bears, moves, runLength });
        await follower.replicate();
        expect(follower.torn).toEqual([]);
        expect(follower.contents()).toEqual(history.stateAt(history.end));
        expect((await follower.control.applyState(LANE_0)).applied?.lsn ?? LSN_ZERO).toBe(history.end);
        follower.origins.applied.length = 0;
        await follower.adversary.wakeAll();
        expect(follower.origins.applied).toEqual([]);
        expect(follower.origins.mistaken).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test("ends with the leader's table when runs overlap in any way", async () => {
    await fc.assert(
      fc.asyncProperty(anyHistory, anyBears, anyMoves, lengths, async (history, bears, moves, lengths) => {
        const runLength = (_: number, attempt: number) => lengths[attempt % lengths.length]!;
        const follower = new Follower(history, { bears, moves, runLength });
        await follower.replicate();
        await follower.adversary.wakeAll();
        expect(follower.contents()).toEqual(history.stateAt(history.end));
        expect(follower.origins.mistaken).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test('changes nothing after a promotion, whoever wakes up and whatever applications write', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyHistory,
        anyBears,
        anyMoves,
        lengths,
        fc.array(anyLocalWrite, { maxLength: 16 }),
        async (history, bears, moves, lengths, writes) => {
          const runLength = (_: number, attempt: number) => lengths[attempt % lengths.length]!;
          const follower = new Follower(history, { bears, moves, runLength });
          await follower.replicate();
          await promote(follower, history, writes);
        },
      ),
      { numRuns: 150 },
    );
  });

  test.each<Move>(['freeze', 'stall'])(
    'changes nothing after a promotion when it wakes from a %s at any await',
    async (move) => {
      for (let at = 0, slept = true; slept; at++) {
        const follower = new Follower(EACH_KIND, { moves: [...Array<Move>(at).fill('go'), move] });
        await follower.replicate();
        slept = follower.adversary.sleepers > 0;
        await promote(follower, EACH_KIND, ALL_LOCAL_WRITES);
      }
    },
  );

  test.each<Move>(['crash', 'fail'])('goes on where it was after a %s at any two awaits', async (move) => {
    const awaits = await countAwaits();
    for (let first = 0; first < awaits; first++) {
      for (const second of [0, 1, 2, 3, 5, 8, 13]) {
        const pause = (length: number) => Array<Move>(length).fill('go');
        const follower = new Follower(EACH_KIND, { moves: [...pause(first), move, ...pause(second), move] });
        await follower.replicate();
        await follower.adversary.wakeAll();
        expect(follower.torn).toEqual([]);
        expect(follower.contents()).toEqual(EACH_KIND.stateAt(EACH_KIND.end));
        expect(follower.origins.mistaken).toEqual([]);
      }
    }
  });

  test('writes each key of a run once, and nothing when the run comes again', async () => {
    const { segments } = EACH_KIND;
    const follower = new Follower(EACH_KIND, { runLength: () => segments.length });
    await follower.replicate();
    // b is replaced, d inserted; a is marked and deleted; c was inserted and deleted within the run.
    expect(
      follower.origins.applied
        .map(({ key, after }) => `${JSON.parse(key)[0].S}${after ? '' : ' gone'}`)
        .sort(),
    ).toEqual(['a', 'a gone', 'b', 'd']);
    follower.origins.forget();
    const { lease, state } = await follower.control.takeLease(LANE_0);
    const { leader, replica } = replicaOf(follower, follower.store);
    expect(leader).toBe(follower.store);
    expect(await replica.apply(lease, state, segments)).toEqual({ kind: 'applied', state });
    expect(follower.origins.applied).toEqual([]);
    expect(follower.contents()).toEqual(EACH_KIND.stateAt(EACH_KIND.end));
  });

  test('marks an item before it deletes it', async () => {
    const history = new History(new Map([['a', itemOf('a', 1)]]), [[{ key: 'a' }]]);
    for (const bears of ['own stamp', 'no stamp', "another key's stamp"] as const) {
      const follower = new Follower(history, { bears: [bears] });
      await follower.replicate();
      const [mark, removal, ...more] = follower.origins.applied;
      expect(mark?.after?.item).toEqual(itemOf('a', 1));
      expect(isMark(mark!.after!.stamp!)).toBe(true);
      expect(removal?.before).toEqual(mark?.after);
      expect(removal?.after).toBeUndefined();
      expect(more).toEqual([]);
    }
  });

  test("overwrites what somebody wrote at a follower, with the leader's next write of that item", async () => {
    const history = new History(new Map(), [[{ key: 'a', value: 1 }], [{ key: 'a', value: 2 }]]);
    const follower = new Follower(history, { runLength: () => 1 });
    const { lease, state } = await follower.control.takeLease(LANE_0);
    const { replica } = replicaOf(follower, follower.store);
    const first = await replica.apply(lease, state, history.segments.slice(0, 1));
    for (const kind of ['drop', 'keep'] as const) {
      follower.writeLocally(new Map(), { kind, key: 'a', from: 'a', value: 11 });
    }
    await replica.apply(lease, first.kind === 'applied' ? first.state : {}, history.segments.slice(1));
    expect(follower.contents()).toEqual(history.stateAt(history.end));
  });

  test('takes inserts in transactions of as many items as DynamoDB allows', async () => {
    const keys = Array.from({ length: 2 * MAX_LEASED + 5 }, (_, index) => `k${index}`);
    const history = new History(new Map(), [keys.map((key) => ({ key, value: 1 }))]);
    const follower = new Follower(history);
    const sizes: number[] = [];
    const { replica } = replicaOf(follower, {
      ...bound(follower.store),
      putLeased: (writes, lease) => {
        sizes.push(writes.length);
        return follower.store.putLeased(writes, lease);
      },
    });
    const { lease, state } = await follower.control.takeLease(LANE_0);
    await replica.apply(lease, state, history.segments);
    expect(sizes).toEqual([MAX_LEASED, MAX_LEASED, 5]);
    expect(follower.contents()).toEqual(history.stateAt(history.end));
  });

  test('says lost, saves nothing and inserts nothing once somebody else holds the lease', async () => {
    const history = new History(new Map(), [[{ key: 'a', value: 1 }]]);
    const follower = new Follower(history);
    const { lease, state } = await follower.control.takeLease(LANE_0);
    await follower.control.takeLease(LANE_0);
    const { replica } = replicaOf(follower, follower.store);
    expect(await replica.apply(lease, state, history.segments)).toEqual({ kind: 'lost' });
    expect(await follower.control.applyState(LANE_0)).toEqual({});
    expect(follower.contents()).toEqual(new Map());
  });

  test.each<readonly [string, History]>([
    ['inserts', new History(new Map(), [KEYS.map((key) => ({ key, value: 1 }))])],
    [
      'deletes',
      new History(new Map(KEYS.map((key) => [key, itemOf(key, 1)])), [KEYS.map((key) => ({ key }))]),
    ],
  ])('says lost if one of several %s finds the lease gone, whichever ends last', async (_, history) => {
    const follower = new Follower(history, { bears: ['no stamp', 'own stamp', 'no stamp', 'own stamp'] });
    const { lease, state } = await follower.control.takeLease(LANE_0);
    await follower.control.takeLease(LANE_0);
    // Saving is made to succeed: the outcome must be known without it.
    const replica = new DynamoReplica({
      store: follower.store,
      leader: follower.store,
      control: { saveApplyState: async () => 'saved' },
      key: PK,
    });
    expect(await replica.apply(lease, state, history.segments)).toEqual({ kind: 'lost' });
  });

  test('goes on from where it is when there is nothing to apply', async () => {
    const follower = new Follower(EACH_KIND);
    const { lease, state } = await follower.control.takeLease(LANE_0);
    const { replica } = replicaOf(follower, follower.store);
    expect(await replica.apply(lease, state, [])).toEqual({ kind: 'applied', state });
  });

  test('saves position, bytes and the newest commit time of the log', async () => {
    const follower = new Follower(EACH_KIND);
    await follower.replicate();
    const last = EACH_KIND.segments.at(-1)!.entry;
    expect(await follower.control.applyState(LANE_0)).toEqual({
      applied: {
        lsn: EACH_KIND.end,
        epoch: last.epoch,
        totalBytes: last.totalBytes,
        commitMs: Math.max(...EACH_KIND.segments.map(({ entry }) => entry.maxCommitMs)),
      },
    });
    expect(await follower.store.get({ pk: s('b') })).toEqual(itemOf('b', 6));
  });
});

function replicaOf(follower: Follower, store: ItemStore) {
  const leader = follower.store;
  return { leader, replica: new DynamoReplica({ store, leader, control: follower.control, key: PK }) };
}

/** A store as a plain object, some of whose methods can be replaced. */
function bound(store: ItemStore): ItemStore {
  return {
    replace: (...of) => store.replace(...of),
    putLeased: (...of) => store.putLeased(...of),
    markDeleted: (...of) => store.markDeleted(...of),
    markDeletedLeased: (...of) => store.markDeletedLeased(...of),
    removeMarked: (...of) => store.removeMarked(...of),
    scan: (...of) => store.scan(...of),
    get: (...of) => store.get(...of),
    estimateRows: () => store.estimateRows(),
  };
}

/** Awaits of one undisturbed process. */
async function countAwaits(): Promise<number> {
  const follower = new Follower(EACH_KIND);
  let awaits = 0;
  follower.adversary.onAwait = () => {
    awaits++;
  };
  await follower.replicate();
  return awaits;
}
