import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareSequence } from '#lib/domain/marks.ts';
import { MemoryCheckpointStore } from '#lib/local/event-source/checkpoint-store.ts';
import { EventSourceMapping } from '#lib/local/event-source/event-source-mapping.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { MemoryStream } from '#lib/local/event-source/memory-stream.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { VirtualTimer } from '#lib/local/event-source/virtual-timer.ts';

/** What the outside does next; `shard` picks one of the open shards. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put'),
      shard: fc.nat(),
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('run'), ms: fc.integer({ min: 0, max: 3000 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('split'), shard: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('outage'), ms: fc.integer({ min: 1, max: 5000 }) }) },
);

/** What an invocation does: take the batch, fail, fail in part, or run beyond its deadline. */
const answer = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('ok') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('throw') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('partial'), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hang') }) },
);

const settings = fc.record({
  batchSize: fc.integer({ min: 1, max: 10 }),
  batchWindowMs: fc.constantFrom(0, 0, 300),
  maximumRetryAttempts: fc.constantFrom(-1, 0, 1, 3),
  bisectBatchOnFunctionError: fc.boolean(),
  tumblingWindowSeconds: fc.constantFrom(0, 1),
});

const TIMEOUT_MS = 1000;

test('whatever fails or crashes, each record is taken or given up, and shards keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.array(answer, { maxLength: 40 }),
      settings,
      fc.nat(),
      async (steps, answers, policy, poisonEvery) => {
        const timer = new VirtualTimer();
        const stream = new MemoryStream();
        const store = new MemoryCheckpointStore();
        const parents = new Map<string, string>();
        const shardOf = new Map<string, string>();
        const firstSeen: string[] = [];
        const done = new Set<string>();
        const poisoned = new Set<string>();
        let mapping: EventSourceMapping;
        let invocations = 0;

        const take = (records: readonly StreamRecord[]) => {
          for (const { dynamodb } of records) done.add(dynamodb.SequenceNumber);
        };
        const handler = async ({ Records, state }: StreamEvent) => {
          for (const { dynamodb } of Records) {
            if (!firstSeen.includes(dynamodb.SequenceNumber)) firstSeen.push(dynamodb.SequenceNumber);
          }
          const now = answers[invocations++] ?? { kind: 'ok' };
          if (now.kind === 'throw') throw new Error('transient');
          // What runs on beyond its deadline takes nothing: it counts for what was retried, not for itself.
          if (now.kind === 'hang') return timer.sleep(TIMEOUT_MS * 3);
          let from = Records.findIndex(({ dynamodb }) => poisoned.has(dynamodb.SequenceNumber));
          if (now.kind === 'partial' && 'at' in now) from = now.at % Records.length;
          take(from < 0 ? Records : Records.slice(0, from));
          const itemIdentifier = Records[from]?.dynamodb.SequenceNumber;
          return { state, batchItemFailures: itemIdentifier === undefined ? [] : [{ itemIdentifier }] };
        };
        const boot = () => {
          mapping = new EventSourceMapping({
            ...policy,
            name: 'm',
            streamArn: stream.arn,
            reader: stream,
            checkpoints: store,
            reportBatchItemFailures: true,
            timer,
            random: () => 0,
            invoker: new FunctionInvoker({
              functionName: 'f',
              functionArn: 'f',
              handler,
              timeoutMs: TIMEOUT_MS,
              timer,
            }),
            onDataLoss: () => expect.fail('nothing was lost'),
            onFailure: async ({ DDBStreamBatchInfo: gone }) => {
              for (const [sequence, shard] of shardOf) {
                const inside =
                  shard === gone.shardId &&
                  compareSequence(sequence, gone.startSequenceNumber) >= 0 &&
                  compareSequence(sequence, gone.endSequenceNumber) <= 0;
                if (inside) done.add(sequence);
              }
            },
          });
          mapping.start();
        };

        const open = ['s0', 's1'];
        for (const shard of open) stream.open(shard);
        boot();
        for (const each of steps) {
          if (each.kind === 'put' && 'count' in each) {
            const shard = open[each.shard % open.length]!;
            for (let at = 0; at < each.count; at += 1) {
              const sequence = stream.put(shard, 'k', timer.now());
              shardOf.set(sequence, shard);
              // Poison can be given up only where retries end.
              if (policy.maximumRetryAttempts >= 0 && shardOf.size % (2 + (poisonEvery % 20)) === 0)
                poisoned.add(sequence);
            }
          } else if (each.kind === 'split' && 'shard' in each) {
            const [shard] = open.splice(each.shard % open.length, 1);
            const children = [`${shard}l`, `${shard}r`];
            stream.split(shard!, ...children);
            for (const child of children) parents.set(child, shard!);
            open.push(...children);
          } else if (each.kind === 'crash') {
            await mapping!.stop(0);
            boot();
          } else if ('ms' in each) {
            stream.setDown(each.kind === 'outage');
            await timer.runFor(each.ms);
            stream.setDown(false);
          }
        }
        await timer.runUntil(() => done.size === shardOf.size, 3_600_000);
        await mapping!.stop(0);

        const lineage = (shard: string | undefined): string[] =>
          shard === undefined ? [] : [shard, ...lineage(parents.get(shard))];
        const newest = new Map<string, string>();
        for (const sequence of firstSeen) {
          const shard = shardOf.get(sequence)!;
          // Nothing of this shard, nor of any descendant, came before it that is younger.
          expect(compareSequence(newest.get(shard) ?? '0', sequence)).toBeLessThan(0);
          for (const each of lineage(shard)) newest.set(each, sequence);
        }
      },
    ),
    { numRuns: 150 },
  );
});
