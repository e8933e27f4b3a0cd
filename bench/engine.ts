import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { LANE_0, parseGroupId } from '#lib/domain/ids.ts';
import { emptyHead, type Head, headAfter, place } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { encodeBatch } from '#lib/engines/dynamodb/encode-batch.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import type { ApplyState } from '#lib/ports/control.ts';
import type { ItemStore } from '#lib/ports/item-store.ts';
import type { BenchResult } from './result.ts';

const GROUP = parseGroupId('bench');
const EPOCH = 1 as Epoch;
const KEY: KeySchema = [{ name: 'pk', type: 'S' }];
const BATCH = 1000;
const SMALLEST = 10_000;
/** Records between two looks aside. */
const INTERVAL = 250_000;

/** Looks aside from one count of the live bytes to the next: a full collection makes the code after it slower. */
const LIVE_EVERY = 13;

/** Bytes that a full collection leaves: unlike the resident set, not a matter of when V8 last collected. */
async function liveBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  collect();
  // Buffers are swept beside the program: the next collection waits for that.
  await setImmediate();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** An order's life, as a table's stream shows it: about 260 bytes of images a record. */
function recordAt(i: number): StreamRecord {
  const pk = { S: `order#${(i * 7919) % 1_000_003}` };
  const NewImage = {
    pk,
    status: { S: 'shipped' },
    total: { N: String((i * 7) % 100_000) },
    quantity: { N: '3' },
    customer: { S: `customer-${(i * 31) % 9999}` },
  };
  return {
    eventName: 'MODIFY',
    dynamodb: {
      ApproximateCreationDateTime: 1_795_449_965,
      Keys: { pk },
      NewImage,
      OldImage: { ...NewImage, status: { S: 'placed' } },
      SequenceNumber: String(100_000_000_000_000n + BigInt(i)),
      SizeBytes: 260,
      StreamViewType: 'NEW_AND_OLD_IMAGES',
    },
  };
}

/** Takes every write and keeps none. */
function costlessStore(): ItemStore & { readonly written: () => number } {
  let written = 0;
  return {
    replace: async () => {
      written++;
      return 'written';
    },
    putLeased: async (writes) => {
      written += writes.length;
      return 'done';
    },
    markDeleted: async () => 'written',
    markDeletedLeased: async () => 'done',
    removeMarked: async () => {},
    scan: async () => ({ rows: [] }),
    get: async () => undefined,
    estimateRows: async () => 0,
    written: () => written,
  };
}

/**
 * Microseconds of CPU a record that the engine spends on `count` records, from stream record to item write.
 * `between` is called now and then, and not counted.
 */
async function cpuPerRecord(count: number, between: () => Promise<void> = async () => {}): Promise<number> {
  const store = costlessStore();
  const replica = new DynamoReplica({
    store,
    leader: store,
    control: { saveApplyState: async () => 'saved' },
    key: KEY,
  });
  const lease = { lane: LANE_0, token: 1 };
  let head: Head = emptyHead(GROUP, LANE_0);
  let state: ApplyState = {};
  let spent = 0;
  for (let at = 0; at < count; at += BATCH) {
    const records = Array.from({ length: Math.min(BATCH, count - at) }, (_, i) => recordAt(at + i));
    const start = process.cpuUsage();
    const { segment } = encodeBatch(
      { group: GROUP, lane: LANE_0, table: 't', key: KEY, shard: 's' },
      records,
    );
    const entry = place(head, segment!.draft, EPOCH);
    const outcome = await replica.apply(lease, state, [{ entry, bytes: segment!.bytes }]);
    const used = process.cpuUsage(start);
    spent += used.user + used.system;
    if (at % INTERVAL === 0) await between();
    head = headAfter(head, entry);
    if (outcome.kind === 'applied') state = outcome.state;
  }
  if (store.written() !== count) throw new Error(`${store.written()} of ${count} records were written`);
  return spent / count;
}

/**
 * The engine's own work, and how it grows with the length of the log. Short runs are taken all along the long one,
 * so that both see the machine in the same moods.
 */
export async function benchEngine(largest = 10_000_000): Promise<readonly BenchResult[]> {
  await cpuPerRecord(SMALLEST * 20);
  const short: number[] = [];
  const live: number[] = [];
  const large = await cpuPerRecord(largest, async () => {
    short.push(await cpuPerRecord(SMALLEST));
    if (short.length % LIVE_EVERY === 2) live.push(await liveBytes());
  });
  const small = short.reduce((sum, each) => sum + each, 0) / short.length;
  return [
    {
      name: 'dynamodb-engine-records-per-core-second',
      value: Math.round(1e6 / large),
      unit: 'records/s',
      goal: '>= 200000',
    },
    { name: 'cpu-per-record-growth', value: large / small, unit: 'ratio', goal: '<= 1.1' },
    // The first count is of half a million records: what comes on top of it would be kept for each record.
    { name: 'memory-growth', value: (Math.max(...live) - live[0]!) / 2 ** 20, unit: 'MiB', goal: '<= 2' },
  ];
}
