import type { Context } from 'aws-lambda';
import { afterEach, describe, expect, test } from 'vitest';
import { type Checkpoints, MemoryCheckpointStore } from '#lib/local/event-source/checkpoint-store.ts';
import {
  EventSourceMapping,
  type EventSourceMappingOptions,
} from '#lib/local/event-source/event-source-mapping.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { MemoryStream } from '#lib/local/event-source/memory-stream.ts';
import type { FailureInfo, StreamEvent } from '#lib/local/event-source/stream-event.ts';
import type { DataLoss } from '#lib/local/event-source/stream-reader.ts';
import { VirtualTimer } from '#lib/local/event-source/virtual-timer.ts';

type Handler = (event: StreamEvent, context: Context) => Promise<unknown>;

const TIMEOUT_MS = 3000;

/** A stream, its clock and store, and what became of its records. Mappings come and go. */
class World {
  readonly timer = new VirtualTimer();
  readonly stream = new MemoryStream();
  readonly store = new MemoryCheckpointStore();
  /** Keys as they were handed over, per invocation. */
  readonly batches: string[][] = [];
  readonly handled: string[] = [];
  readonly givenUp: FailureInfo[] = [];
  readonly losses: DataLoss[] = [];
  readonly mappings: EventSourceMapping[] = [];

  start(handler: Handler, options: Partial<EventSourceMappingOptions> = {}): EventSourceMapping {
    const { timer, stream } = this;
    const invoker = new FunctionInvoker<StreamEvent>({
      functionName: 'capture',
      functionArn: 'arn:aws:lambda:eu-west-1:000000000000:function:capture',
      timeoutMs: TIMEOUT_MS,
      timer,
      handler: async (event, context) => {
        this.batches.push(keysOf(event));
        const result = await handler(event, context);
        this.handled.push(...keysOf(event));
        return result;
      },
    });
    const mapping = new EventSourceMapping({
      name: 'capture',
      streamArn: stream.arn,
      reader: stream,
      invoker,
      timer,
      checkpoints: this.store,
      random: () => 0.5,
      onDataLoss: (loss) => void this.losses.push(loss),
      onFailure: async (info) => void this.givenUp.push(info),
      ...options,
    });
    this.mappings.push(mapping);
    mapping.start();
    return mapping;
  }

  put(shard: string, ...keys: string[]): string[] {
    return keys.map((key) => this.stream.put(shard, key, this.timer.now()));
  }

  checkpoints(): Promise<Checkpoints> {
    return this.store.load('capture');
  }
}

const keysOf = (event: StreamEvent) => event.Records.map((record) => record.dynamodb.Keys.pk?.S ?? '');
const keys = (prefix: string, count: number) => Array.from({ length: count }, (_, at) => `${prefix}${at}`);
const ok: Handler = async () => undefined;
const poison =
  (...bad: string[]): Handler =>
  async (event) => {
    if (keysOf(event).some((key) => bad.includes(key))) throw new Error('poison');
  };
const never = new Promise<never>(() => {});

let world: World;

function begin(...shards: string[]): World {
  world = new World();
  for (const shard of shards) world.stream.open(shard);
  return world;
}

afterEach(async () => {
  await Promise.all(world.mappings.map((mapping) => mapping.stop(0)));
});

describe('order', () => {
  test('a shard is read from its oldest record, in order, in batches of the batch size', async () => {
    const { timer, batches } = begin('a');
    world.put('a', ...keys('k', 7));
    const mapping = world.start(ok, { batchSize: 3 });
    await timer.runUntil(() => world.handled.length === 7);
    expect(batches).toEqual([['k0', 'k1', 'k2'], ['k3', 'k4', 'k5'], ['k6']]);
    expect(mapping.stats()).toMatchObject({ batches: 3, records: 7, errors: 0 });
  });

  test('the children of a split wait for the last record of their parent, tries included', async () => {
    const { timer, stream } = begin('parent');
    world.put('parent', ...keys('p', 3));
    stream.split('parent', 'left', 'right');
    world.put('left', 'l0');
    world.put('right', 'r0');
    let failures = 4;
    world.start(async (event) => {
      if (keysOf(event).includes('p2') && failures-- > 0) throw new Error('not yet');
    });
    await timer.runUntil(() => world.handled.length === 5);
    expect(world.handled.slice(0, 3)).toEqual(keys('p', 3));
    expect(world.handled.slice(3).sort()).toEqual(['l0', 'r0']);
  });

  test('a restart in the middle of a parent still keeps its children back', async () => {
    const { timer, stream } = begin('parent');
    world.put('parent', ...keys('p', 4));
    stream.split('parent', 'child');
    world.put('child', 'c0');
    const first = world.start(async (event) => (keysOf(event).includes('p2') ? never : undefined), {
      batchSize: 2,
    });
    await timer.runUntil(() => world.batches.length === 2);
    await first.stop(0);
    world.start(ok);
    await timer.runUntil(() => world.handled.includes('c0'));
    expect(world.handled).toEqual(['p0', 'p1', 'p2', 'p3', 'c0']);
    expect(await world.checkpoints()).toMatchObject({ parent: { finished: true } });
  });

  test('a split while running is followed to the grandchildren', async () => {
    const { timer, stream } = begin('a');
    world.put('a', 'a0');
    world.start(ok);
    await timer.runUntil(() => world.handled.length === 1);
    stream.split('a', 'b');
    stream.split('b', 'c', 'd');
    world.put('d', 'd0');
    const before = timer.now();
    await timer.runUntil(() => world.handled.length === 2);
    expect(timer.now() - before).toBeLessThan(1000);
  });

  test('a shard whose function hangs does not hold up another', async () => {
    const { timer } = begin('stuck', 'free');
    world.put('stuck', 's0');
    world.put('free', ...keys('f', 5));
    world.start(async (event) => (keysOf(event).includes('s0') ? never : undefined), { batchSize: 1 });
    await timer.runUntil(() => world.handled.length === 5);
    expect(world.handled).toEqual(keys('f', 5));
  });

  test('a shard never has two invocations at once', async () => {
    const { timer } = begin('a');
    let running = 0;
    let most = 0;
    world.start(
      async () => {
        most = Math.max(most, ++running);
        await timer.sleep(500);
        running -= 1;
      },
      { batchSize: 1 },
    );
    world.put('a', ...keys('k', 3));
    await timer.runUntil(() => world.handled.length === 3);
    expect(most).toBe(1);
  });
});

describe('batches', () => {
  test('a batch window gathers records until it is over or the batch is full', async () => {
    const { timer, batches } = begin('a');
    world.start(ok, { batchSize: 3, batchWindowMs: 1000 });
    world.put('a', 'k0');
    await timer.runFor(500);
    world.put('a', 'k1');
    await timer.runFor(400);
    expect(batches).toEqual([]);
    await timer.runFor(300);
    expect(batches).toEqual([['k0', 'k1']]);
    world.put('a', 'k2', 'k3', 'k4');
    await timer.runFor(200);
    expect(batches).toEqual([
      ['k0', 'k1'],
      ['k2', 'k3', 'k4'],
    ]);
  });

  test('a batch stays below its size in bytes, a record above it goes alone', async () => {
    const { timer, stream, batches } = begin('a');
    for (const [key, size] of [
      ['k0', 400],
      ['k1', 500],
      ['k2', 200],
      ['k3', 5000],
      ['k4', 10],
    ] as const) {
      stream.put('a', key, timer.now(), size);
    }
    world.start(ok, { maxBatchBytes: 1000 });
    await timer.runUntil(() => world.handled.length === 5);
    expect(batches).toEqual([['k0', 'k1'], ['k2'], ['k3'], ['k4']]);
  });

  test('records that the filter leaves out advance the checkpoint without an invocation', async () => {
    const { timer } = begin('a');
    const sequences = world.put('a', 'no0', 'no1');
    const wanted = (record: { dynamodb: { Keys: Record<string, { S?: string }> } }) =>
      record.dynamodb.Keys.pk?.S?.startsWith('yes') === true;
    const mapping = world.start(ok, { filter: wanted });
    await timer.runUntil(() => mapping.stats().lastSequence === sequences[1]);
    expect(world.batches).toEqual([]);
    const more = world.put('a', 'yes0', 'no2', 'yes1', 'no3');
    await timer.runUntil(() => mapping.stats().lastSequence === more[3]);
    expect(world.batches).toEqual([['yes0', 'yes1']]);
  });

  test('an idle shard is polled four times less often, and a kick polls at once', async () => {
    const { timer, stream } = begin('a');
    const mapping = world.start(ok, { pollIntervalMs: 40 });
    await timer.runFor(1000);
    const before = stream.reads;
    await timer.runFor(16_000);
    expect(stream.reads - before).toBe(100);
    world.put('a', 'k0');
    mapping.kick();
    await timer.runFor(0);
    expect(world.handled).toEqual(['k0']);
  });
});

describe('failures', () => {
  test('a failing batch is tried again with growing pauses and never skipped', async () => {
    const { timer } = begin('a');
    world.put('a', 'k0', 'k1');
    const at: number[] = [];
    world.start(async () => {
      at.push(timer.now());
      if (at.length < 6) throw new Error('transient');
    });
    await timer.runUntil(() => world.handled.length === 2);
    const pauses = at.slice(1).map((ms, index) => ms - at[index]!);
    expect(pauses).toEqual([75, 150, 300, 600, 1200]);
    expect(world.givenUp).toEqual([]);
  });

  test('after the last retry the batch goes to the failure destination as Lambda describes it', async () => {
    const { timer, stream } = begin('a');
    const sequences = world.put('a', 'bad0', 'bad1');
    const mapping = world.start(poison('bad0'), { maximumRetryAttempts: 2 });
    await timer.runUntil(() => world.givenUp.length === 1);
    expect(world.batches).toHaveLength(3);
    const arrival = '2026-01-01T00:00:00Z';
    expect(world.givenUp[0]).toEqual({
      requestContext: {
        requestId: expect.any(String),
        functionArn: 'arn:aws:lambda:eu-west-1:000000000000:function:capture',
        condition: 'RetryAttemptsExhausted',
        approximateInvokeCount: 3,
      },
      responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
      version: '1.0',
      timestamp: expect.any(String),
      DDBStreamBatchInfo: {
        shardId: 'a',
        startSequenceNumber: sequences[0],
        endSequenceNumber: sequences[1],
        approximateArrivalOfFirstRecord: arrival,
        approximateArrivalOfLastRecord: arrival,
        batchSize: 2,
        streamArn: stream.arn,
      },
    });
    world.put('a', 'good');
    await timer.runUntil(() => world.handled.includes('good'));
    expect(mapping.stats()).toMatchObject({ givenUp: 2, records: 1, errors: 3 });
  });

  test('bisection isolates one poison record of ten, which alone is given up', async () => {
    const { timer } = begin('a');
    const sequences = world.put('a', ...keys('k', 10));
    world.start(poison('k6'), { bisectBatchOnFunctionError: true, maximumRetryAttempts: 0 });
    await timer.runUntil(() => world.handled.length === 9);
    expect(world.handled).toEqual(keys('k', 10).filter((key) => key !== 'k6'));
    expect(world.givenUp.map((info) => info.DDBStreamBatchInfo)).toMatchObject([
      { startSequenceNumber: sequences[6], endSequenceNumber: sequences[6], batchSize: 1 },
    ]);
  });

  test('splits do not use up the retries of the record that is left', async () => {
    const { timer, batches } = begin('a');
    world.put('a', ...keys('k', 8));
    world.start(poison('k0'), { bisectBatchOnFunctionError: true, maximumRetryAttempts: 2 });
    await timer.runUntil(() => world.handled.length === 7);
    expect(batches.filter((batch) => batch.length === 1 && batch[0] === 'k0')).toHaveLength(3);
  });

  test('records older than the maximum age are given up, the younger ones of the batch are not', async () => {
    const { timer, stream } = begin('a');
    stream.put('a', 'old', timer.now() - 61_000);
    stream.put('a', 'young', timer.now());
    world.start(ok, { maximumRecordAgeSeconds: 60 });
    await timer.runUntil(() => world.handled.length === 1);
    expect(world.handled).toEqual(['young']);
    expect(world.givenUp[0]?.requestContext).toMatchObject({
      condition: 'RecordAgeExceeded',
      approximateInvokeCount: 0,
    });
  });

  test('while the failure destination fails, the shard does not move on and does not invoke', async () => {
    const { timer } = begin('a');
    world.put('a', 'bad', 'good');
    let down = true;
    const mapping = world.start(poison('bad'), {
      batchSize: 1,
      maximumRetryAttempts: 0,
      onFailure: async (info) => {
        if (down) throw new Error('the queue is down');
        world.givenUp.push(info);
      },
    });
    await timer.runUntil(() => mapping.stats().sourceErrors === 5);
    expect(world.batches).toEqual([['bad']]);
    down = false;
    await timer.runUntil(() => world.handled.length === 1);
    expect(world.givenUp).toHaveLength(1);
  });

  test('an invocation beyond its deadline has failed, whatever it does later', async () => {
    const { timer } = begin('a');
    world.put('a', 'k0');
    const left: number[] = [];
    const mapping = world.start(async (_, context) => {
      left.push(context.getRemainingTimeInMillis());
      if (left.length === 1) await timer.sleep(TIMEOUT_MS * 2);
    });
    await timer.runUntil(() => mapping.stats().records === 1);
    expect(left).toEqual([TIMEOUT_MS, TIMEOUT_MS]);
    expect(mapping.stats()).toMatchObject({ batches: 2, errors: 1 });
  });

  test('a server that is down is asked again for ever, ever less often, and delivers when it is back', async () => {
    const { timer, stream } = begin('a');
    world.put('a', 'k0');
    const mapping = world.start(ok);
    await timer.runUntil(() => world.handled.length === 1);
    stream.setDown(true);
    const before = stream.reads;
    await timer.runFor(3_600_000);
    expect(mapping.stats().sourceErrors).toBeGreaterThan(500);
    expect(stream.reads - before).toBeLessThan(2000);
    stream.setDown(false);
    world.put('a', 'k1');
    await timer.runUntil(() => world.handled.length === 2, 10_000);
  });

  test('a shard that vanishes unread is reported, once, and its children go on', async () => {
    const { timer, stream } = begin('a');
    const [sequence] = world.put('a', 'a0');
    world.start(ok);
    await timer.runUntil(() => world.handled.length === 1);
    stream.setDown(true);
    world.put('a', 'a1');
    stream.split('a', 'b');
    world.put('b', 'b0');
    stream.drop('a');
    stream.setDown(false);
    await timer.runUntil(() => world.handled.includes('b0'));
    await timer.runFor(60_000);
    expect(world.losses).toEqual([
      { kind: 'shard-gone', streamArn: stream.arn, shardId: 'a', after: sequence },
    ]);
    expect(Object.keys(await world.checkpoints())).toEqual(['b']);
  });
});

describe('partial failures', () => {
  const settings = { reportBatchItemFailures: true };
  const failing =
    (identify: (event: StreamEvent) => unknown[]): Handler =>
    async (event) => ({ batchItemFailures: identify(event).map((itemIdentifier) => ({ itemIdentifier })) });
  const sequenceIn = (event: StreamEvent, key: string) =>
    event.Records.find((record) => record.dynamodb.Keys.pk?.S === key)?.dynamodb.SequenceNumber;

  test('what lies before the lowest reported record is saved, and the retry starts there', async () => {
    const { timer, batches } = begin('a');
    const sequences = world.put('a', ...keys('k', 5));
    world.start(
      failing((event) => (batches.length === 1 ? [sequenceIn(event, 'k4'), sequenceIn(event, 'k2')] : [])),
      settings,
    );
    await timer.runFor(0);
    expect(await world.checkpoints()).toMatchObject({ a: { sequence: sequences[1] } });
    await timer.runUntil(() => batches.length === 2);
    expect(batches[1]).toEqual(['k2', 'k3', 'k4']);
  });

  test.each([
    ['an empty identifier', ''],
    ['a null identifier', null],
    ['an identifier of no record', '42'],
  ])('%s fails the whole batch', async (_, identifier) => {
    const { timer, batches } = begin('a');
    world.put('a', 'k0', 'k1');
    world.start(
      failing(() => (batches.length === 1 ? [identifier] : [])),
      settings,
    );
    await timer.runUntil(() => batches.length === 2);
    expect(batches[1]).toEqual(['k0', 'k1']);
  });

  test.each([
    ['an empty list', { batchItemFailures: [] }],
    ['a null list', { batchItemFailures: null }],
    ['an empty object', {}],
    ['null', null],
  ])('%s is success', async (_, answer) => {
    const { timer } = begin('a');
    world.put('a', 'k0');
    const mapping = world.start(async () => answer, settings);
    await timer.runUntil(() => mapping.stats().batches === 1);
    expect(mapping.stats()).toMatchObject({ records: 1, errors: 0 });
  });

  test('with bisection the split is at the reported record, which then ends up alone', async () => {
    const { timer, batches } = begin('a');
    world.put('a', ...keys('k', 8));
    const mapping = world.start(
      failing((event) => (keysOf(event).includes('k5') ? [sequenceIn(event, 'k5')] : [])),
      { ...settings, bisectBatchOnFunctionError: true, maximumRetryAttempts: 0 },
    );
    await timer.runUntil(() => mapping.stats().records === 7);
    expect(batches).toEqual([keys('k', 8), ['k5', 'k6', 'k7'], ['k5', 'k6'], ['k5'], ['k6'], ['k7']]);
    expect(world.givenUp.map((info) => info.DDBStreamBatchInfo.batchSize)).toEqual([1]);
  });
});

describe('restart', () => {
  test('a new process goes on after the last checkpoint', async () => {
    const { timer } = begin('a');
    world.put('a', 'k0', 'k1');
    const first = world.start(ok);
    await timer.runUntil(() => world.handled.length === 2);
    await first.stop();
    world.put('a', 'k2');
    world.start(ok);
    await timer.runUntil(() => world.handled.length === 3);
    expect(world.handled).toEqual(['k0', 'k1', 'k2']);
  });

  test('a crash between the answer of the function and the checkpoint delivers the batch again', async () => {
    const { timer } = begin('a');
    world.put('a', 'k0');
    const lost = { load: async () => ({}), save: () => never };
    const first = world.start(ok, { checkpoints: lost });
    await timer.runUntil(() => world.handled.length === 1);
    await first.stop(0);
    world.start(ok);
    await timer.runUntil(() => world.handled.length === 2);
    expect(world.handled).toEqual(['k0', 'k0']);
  });

  test('stop waits for the running invocation and saves what it did', async () => {
    const { timer } = begin('a');
    const [sequence] = world.put('a', 'k0');
    const mapping = world.start(() => timer.sleep(1000));
    await timer.runUntil(() => world.batches.length === 1);
    let stopped = false;
    const stopping = mapping.stop(2000).then(() => {
      stopped = true;
    });
    await timer.runUntil(() => stopped);
    await stopping;
    expect(await world.checkpoints()).toMatchObject({ a: { sequence } });
  });

  test('an invocation that outlives the bound of stop is abandoned: it saves nothing', async () => {
    const { timer } = begin('a');
    world.put('a', 'k0');
    const mapping = world.start(() => timer.sleep(2500));
    await timer.runUntil(() => world.batches.length === 1);
    let stopped = false;
    void mapping.stop(1000).then(() => {
      stopped = true;
    });
    await timer.runUntil(() => stopped);
    await timer.runFor(10_000);
    expect(world.handled).toEqual(['k0']);
    expect((await world.checkpoints()).a?.sequence).toBeUndefined();
  });
});

describe('tumbling windows', () => {
  test('a windowed function gets the shard, the window and its state, and must return a state', async () => {
    const { timer, stream } = begin('a');
    const start = timer.now();
    const events: StreamEvent[] = [];
    const mapping = world.start(
      async (event) => {
        events.push({ ...event });
        if (events.length === 2) return {};
        return { state: { count: ((event.state as { count?: number }).count ?? 0) + event.Records.length } };
      },
      { tumblingWindowSeconds: 30, batchSize: 2 },
    );
    for (const [key, second] of [
      ['k0', 1],
      ['k1', 2],
      ['k2', 29],
      ['k3', 30],
    ] as const) {
      stream.put('a', key, start + second * 1000);
    }
    await timer.runUntil(() => mapping.stats().records === 4);
    expect(mapping.stats().errors).toBe(1);
    const { Records: _, ...fields } = events[0]!;
    expect(fields).toEqual({
      window: { start: '2026-01-01T00:00:00Z', end: '2026-01-01T00:00:30Z' },
      state: {},
      shardId: 'a',
      eventSourceARN: stream.arn,
      isFinalInvokeForWindow: false,
      isWindowTerminatedEarly: false,
    });
    expect(events.map((event) => [keysOf(event), event.state])).toEqual([
      [['k0', 'k1'], {}],
      [['k2'], { count: 2 }],
      [['k2'], { count: 2 }],
      [['k3'], {}],
    ]);
    expect(events[3]?.window?.start).toBe('2026-01-01T00:00:30Z');
  });
});
