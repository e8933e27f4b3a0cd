import type { Context } from 'aws-lambda';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Head } from '#lib/domain/log.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { MemoryCheckpointStore } from '#lib/local/event-source/checkpoint-store.ts';
import { EventSourceMapping } from '#lib/local/event-source/event-source-mapping.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { MemoryStream } from '#lib/local/event-source/memory-stream.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import type { StreamReader } from '#lib/local/event-source/stream-reader.ts';
import { VirtualTimer } from '#lib/local/event-source/virtual-timer.ts';
import { CaptureFixture } from '../support/capture-fixture.ts';
import { intercepted } from '../support/intercepted-log.ts';

const TIMEOUT_MS = 3_000;
const KEYS = 6;

/** What befalls one call of the log. */
type Fault = 'none' | 'before' | 'after' | 'slow';
type Step =
  | { readonly kind: 'put'; readonly key: number; readonly poison: boolean }
  /** The shard of this key splits in two; its keys are divided among the children. */
  | { readonly kind: 'split'; readonly key: number }
  | { readonly kind: 'run'; readonly ms: number }
  /** The process that reads the stream dies, in the middle of whatever it does, and another begins. */
  | { readonly kind: 'crash' };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      key: fc.nat(KEYS - 1),
      poison: fc.integer({ min: 0, max: 9 }).map((dice) => dice === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('split' as const), key: fc.nat(KEYS - 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('run' as const), ms: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
);
const anyFault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 12, arbitrary: fc.constant('none' as const) },
  { weight: 1, arbitrary: fc.constantFrom('before' as const, 'after' as const, 'slow' as const) },
);
const anyRun = fc.record({
  steps: fc.array(anyStep, { minLength: 10, maxLength: 80 }),
  faults: fc.array(anyFault, { minLength: 60, maxLength: 60 }),
  queueDown: fc.array(fc.boolean(), { maxLength: 4 }),
  batchSize: fc.integer({ min: 1, max: 7 }),
});

/** A stream with splits, read by Lambda's rules into capture, with whatever may go wrong in between. */
async function run(given: typeof anyRun extends fc.Arbitrary<infer T> ? T : never) {
  const timer = new VirtualTimer();
  const stream = new MemoryStream();
  const checkpoints = new MemoryCheckpointStore();
  const fixture = await new CaptureFixture().lead();
  const faults = given.faults.values();
  const queueDown = given.queueDown.values();
  fixture.isDown = () => queueDown.next().value ?? false;

  const faulty =
    <A extends unknown[], R>(next: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const fault = faults.next().value ?? 'none';
      if (fault === 'before') throw new Error('refused');
      // Longer than the function may run: it goes on, unwatched, while the batch is delivered again.
      if (fault === 'slow') await timer.sleep(TIMEOUT_MS + 500);
      const result = await next(...args);
      if (fault === 'after') throw new Error('answer lost');
      return result;
    };
  const log = intercepted(fixture.log, { putSegment: faulty, append: faulty, head: faulty });

  const bad = new Set<string>();
  const reader: StreamReader = {
    listShards: () => stream.listShards(),
    read: async (...args) => {
      const { records, closed } = await stream.read(...args);
      const seen = records.map((record) =>
        bad.has(record.dynamodb.SequenceNumber) ? { ...record, eventName: 'REMOVE' as const } : record,
      );
      return { records: seen, closed };
    },
  };
  const start = () => {
    let known: Head | undefined;
    const handler = async ({ Records, shardId }: StreamEvent, _: Context) => {
      const { failedFrom } = await fixture.capture(
        shardId!,
        Records as unknown as StreamRecord[],
        log,
        known,
      );
      known = fixture.lastHead;
      return {
        state: {},
        batchItemFailures: failedFrom === undefined ? [] : [{ itemIdentifier: failedFrom }],
      };
    };
    const invoker = new FunctionInvoker<StreamEvent>({
      functionName: 'capture',
      functionArn: 'arn:aws:lambda:eu-west-1:000000000000:function:capture',
      timeoutMs: TIMEOUT_MS,
      timer,
      handler,
    });
    const mapping = new EventSourceMapping({
      name: 'capture',
      streamArn: stream.arn,
      reader,
      invoker,
      checkpoints,
      timer,
      random: () => 0.5,
      onDataLoss: (loss) => expect.unreachable(JSON.stringify(loss)),
      batchSize: given.batchSize,
      reportBatchItemFailures: true,
      bisectBatchOnFunctionError: true,
      tumblingWindowSeconds: 900,
    });
    mapping.start();
    return mapping;
  };

  stream.open('shard-0');
  let shards = 1;
  const shardOf = Array<string>(KEYS).fill('shard-0');
  const written: { readonly key: string; readonly sequence: string }[] = [];
  let mapping = start();
  for (const step of given.steps) {
    switch (step.kind) {
      case 'put': {
        const key = `k${step.key}`;
        const sequence = stream.put(shardOf[step.key]!, key, timer.now());
        if (step.poison) bad.add(sequence);
        else written.push({ key, sequence });
        break;
      }
      case 'split': {
        const parent = shardOf[step.key]!;
        const children = [`shard-${shards++}`, `shard-${shards++}`];
        stream.split(parent, ...children);
        for (const [key, shard] of shardOf.entries()) if (shard === parent) shardOf[key] = children[key % 2]!;
        break;
      }
      case 'run':
        await timer.runFor(step.ms);
        break;
      case 'crash': {
        const stopping = mapping.stop(0);
        await timer.runFor(0);
        await stopping;
        mapping = start();
        break;
      }
    }
  }
  // All faults heal; then nothing may be left behind.
  const size = async () => (await fixture.records()).length;
  const rejectedAll = () =>
    [...bad].every((each) => fixture.rejected.some(({ sequence }) => sequence === each));
  for (let i = 0; i < 200 && ((await size()) < written.length || !rejectedAll()); i++)
    await timer.runFor(1_000);
  await timer.runFor(2 * TIMEOUT_MS);
  const stopping = mapping.stop(0);
  await timer.runFor(0);
  await stopping;
  return { fixture, written, bad };
}

test('across splits, retries, partial failures, time-outs and crashes, each record is logged once and keys keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(anyRun, async (given) => {
      const { fixture, written, bad } = await run(given);
      const records = await fixture.records();
      const logged = records.map(({ key, sequence }) => ({ key: (key.pk as { S: string }).S, sequence }));
      for (let key = 0; key < KEYS; key++) {
        const of = (list: readonly { key: string; sequence: string }[]) =>
          list.filter((each) => each.key === `k${key}`).map(({ sequence }) => sequence);
        expect(of(logged)).toEqual(of(written));
      }
      expect(logged).toHaveLength(written.length);
      expect(new Set(fixture.rejected.map(({ sequence }) => sequence))).toEqual(bad);
    }),
    { numRuns: 120 },
  );
});
