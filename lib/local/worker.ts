import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import type { Context } from 'aws-lambda';
import { handler as applyHandler } from '#functions/apply/handler.ts';
import { handler as captureHandler } from '#functions/capture/handler.ts';
import { handler as relayHandler } from '#functions/relay/handler.ts';
import { theRuntime, writeTelemetryTo } from '#functions/runtime.ts';
import { handler as sentinelHandler } from '#functions/sentinel/handler.ts';
import { SqsRejects } from '#lib/aws/sqs-rejects.ts';
import { DynamoDBStreamReader } from '#lib/local/event-source/dynamodb-stream-reader.ts';
import {
  EventSourceMapping,
  type EventSourceMappingOptions,
} from '#lib/local/event-source/event-source-mapping.ts';
import { FileCheckpointStore } from '#lib/local/event-source/file-checkpoint-store.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { Schedule, type TickEvent } from '#lib/local/event-source/schedule.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { systemTimer } from '#lib/local/event-source/timer.ts';
import { serveParent, tellParent } from '#lib/local/parent.ts';
import { streamArnOf } from '#lib/local/provision.ts';

/*
 * The functions of one Region, run as Lambda runs them: the very handlers, fed by event sources and schedules.
 * Arguments: folder of the checkpoints. Configuration: the functions' own environment.
 */
const folder = process.argv[2]!;

/** How often the streams are read while there is something to read, ms; Lambda does so four times a second. */
const POLL_MS = 80;

/** How often the schedules fire, ms; a minute on AWS. */
const RELAY_MS = 2_000;
const APPLY_MS = 1_000;
const SENTINEL_MS = 500;

writeTelemetryTo((line) => tellParent({ kind: 'telemetry', line }));
const { config, region, peers } = theRuntime();
const { dynamodb, sqs } = peers.clients(region);
const checkpoints = new FileCheckpointStore(folder);
const failures = new SqsRejects({ sqs, queueUrl: config.failureQueueUrl });

function invoker<E>(
  name: string,
  handler: (event: E, context: Context) => Promise<unknown>,
  timeoutMs: number,
): FunctionInvoker<E> {
  const functionArn = `arn:aws:lambda:${region}:000000000000:function:understudy-${config.group}-${name}`;
  return new FunctionInvoker({ functionName: name, functionArn, handler, timeoutMs, timer: systemTimer });
}

function source(
  name: string,
  streamArn: string,
  options: Pick<EventSourceMappingOptions, 'invoker'> & Partial<EventSourceMappingOptions>,
): EventSourceMapping {
  const endpoint = config.endpoints[region];
  const client = new DynamoDBStreamsClient({
    region,
    ...(endpoint && { endpoint: endpoint.dynamodb }),
    ...(endpoint?.credentials && { credentials: endpoint.credentials }),
  });
  const onDataLoss = (loss: object) => tellParent({ kind: 'data-loss', source: name, loss });
  const reader = new DynamoDBStreamReader({ client, streamArn, awsRegion: region, onDataLoss });
  return new EventSourceMapping({
    name,
    streamArn,
    reader,
    checkpoints,
    timer: systemTimer,
    random: Math.random,
    pollIntervalMs: POLL_MS,
    onDataLoss,
    onError: (where, error) => tellParent({ kind: 'source-error', source: name, where, why: String(error) }),
    ...options,
  });
}

const isEntry = (record: StreamRecord): boolean =>
  record.eventName === 'INSERT' && record.dynamodb?.Keys?.at?.S?.startsWith('entry#') === true;

type Handler<E> = (event: E, context: Context) => Promise<unknown>;
const capture = invoker<StreamEvent>('capture', captureHandler as Handler<StreamEvent>, 60_000);
const relay = invoker<StreamEvent | TickEvent>(
  'relay',
  relayHandler as Handler<StreamEvent | TickEvent>,
  60_000,
);
const apply = invoker<StreamEvent | TickEvent>(
  'apply',
  applyHandler as Handler<StreamEvent | TickEvent>,
  60_000,
);
const sentinel = invoker<TickEvent>('sentinel', sentinelHandler as Handler<TickEvent>, 30_000);

const dataStream = await peers.store(region).checkStream();
const logStream = await streamArnOf(dynamodb, config.logTable);
const sources = [
  source('capture', dataStream, {
    invoker: capture,
    batchSize: 1000,
    reportBatchItemFailures: true,
    bisectBatchOnFunctionError: true,
    tumblingWindowSeconds: 900,
    onFailure: (info) =>
      failures.put({
        lane: '0',
        shard: info.DDBStreamBatchInfo.shardId,
        sequence: info.DDBStreamBatchInfo.startSequenceNumber,
        code: 'CAPTURE_RECORD_REJECTED',
        reason: JSON.stringify(info),
      }),
  }),
  source('relay', logStream, { invoker: relay, filter: isEntry }),
  source('apply', logStream, { invoker: apply, filter: isEntry }),
];
const tick = (everyMs: number, invoker: FunctionInvoker<TickEvent>) =>
  new Schedule({ everyMs, invoker, timer: systemTimer });
const schedules = [tick(RELAY_MS, relay), tick(APPLY_MS, apply), tick(SENTINEL_MS, sentinel)];

for (const each of [...sources, ...schedules]) each.start();
serveParent();
