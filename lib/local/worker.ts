import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import type { Context } from 'aws-lambda';
import { handler as applyHandler } from '#functions/apply/handler.ts';
import { handler as captureHandler } from '#functions/capture/handler.ts';
import { handler as drillHandler, runDrillsBy } from '#functions/drill/handler.ts';
import { handler as failoverHandler } from '#functions/failover/handler.ts';
import { fenceHostsBy } from '#functions/failover-deps.ts';
import { handler as leadsHandler } from '#functions/leads/handler.ts';
import { handler as relayHandler } from '#functions/relay/handler.ts';
import { handler as retentionHandler } from '#functions/retention/handler.ts';
import { theRuntime, writeTelemetryTo } from '#functions/runtime.ts';
import { handler as sentinelHandler } from '#functions/sentinel/handler.ts';
import { runFailoversBy } from '#functions/workflow.ts';
import { SqsRejects } from '#lib/aws/sqs-rejects.ts';
import { resourceName, workflowName } from '#lib/constructs/names.ts';
import { FigureSender } from '#lib/local/cloudwatch/figure-sender.ts';
import { DynamoDBStreamReader } from '#lib/local/event-source/dynamodb-stream-reader.ts';
import {
  EventSourceMapping,
  type EventSourceMappingOptions,
} from '#lib/local/event-source/event-source-mapping.ts';
import { FileCheckpointStore } from '#lib/local/event-source/file-checkpoint-store.ts';
import { FunctionInvoker, type Invocation } from '#lib/local/event-source/function-invoker.ts';
import { Schedule, type TickEvent } from '#lib/local/event-source/schedule.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { systemTimer } from '#lib/local/event-source/timer.ts';
import { serveFunctionUrl, type UrlEvent } from '#lib/local/function-url.ts';
import { localHostFence } from '#lib/local/local-host-fence.ts';
import { serveParent, tellParent } from '#lib/local/parent.ts';
import { streamArnOf } from '#lib/local/provision.ts';
import { LocalWorkflow, type Payload } from '#lib/local/workflow/local-workflow.ts';
import { RequestedWorkflow, startRequested, tellStop } from '#lib/local/workflow/requests.ts';

/*
 * The functions of one Region, run as Lambda runs them: the very handlers, fed by event sources and schedules.
 * Arguments: folder of the checkpoints; folder of the failover workflow's runs, and a file with its definition, where
 * there is failover. Configuration: the functions' own environment.
 */
const [folder = '', runs, definitionFile] = process.argv.slice(2);

/** How often the streams are read while there is something to read, ms; Lambda does so four times a second. */
const POLL_MS = 80;

/** How often the schedules fire, ms; a minute on AWS. */
const RELAY_MS = 2_000;
const APPLY_MS = 1_000;
const SENTINEL_MS = 500;
/** A minute on AWS. */
const CAPTURE_MS = 500;
/** A day on AWS. */
const RETENTION_MS = 60_000;
/** How often requests for a failover are looked for, ms. */
const REQUESTS_MS = 200;

const hook = process.env.UNDERSTUDY_HOST_FENCE;
if (hook) fenceHostsBy(await localHostFence(hook));

writeTelemetryTo((line) => {
  figures.line(line);
  tellParent({ kind: 'telemetry', line });
});
const { config, region, peers, engine } = theRuntime();
const { cloudwatch, dynamodb, sqs } = peers.clients(region);
const figures = new FigureSender({
  cloudwatch: cloudwatch!,
  onError: (error) => tellParent({ kind: 'figures-lost', why: String(error) }),
});
const checkpoints = new FileCheckpointStore(folder);
const failures = new SqsRejects({ sqs, queueUrl: config.failureQueueUrl! });

function invoker<E>(
  name: string,
  handler: (event: E, context: Context) => Promise<unknown>,
  timeoutMs: number,
): FunctionInvoker<E> {
  const functionArn = `arn:aws:lambda:${region}:000000000000:function:understudy-${config.group}-${name}`;
  const onEnd = (event: E, invocation: Invocation) =>
    figures.invoked(resourceName(config.group, name), event as object, invocation);
  return new FunctionInvoker({
    functionName: name,
    functionArn,
    handler,
    timeoutMs,
    timer: systemTimer,
    onEnd,
  });
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

type DrillEvent = { readonly kind: 'drill'; readonly due: string };
type Handler<E> = (event: E, context: Context) => Promise<unknown>;
const capture = invoker<StreamEvent | TickEvent>(
  'capture',
  captureHandler as Handler<StreamEvent | TickEvent>,
  60_000,
);
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
const retention = invoker<TickEvent>('retention', retentionHandler as Handler<TickEvent>, 60_000);

const leadsPort = Number(process.env.UNDERSTUDY_LEADS_PORT);
if (leadsPort > 0) {
  await serveFunctionUrl(leadsPort, invoker<UrlEvent>('leads', leadsHandler as Handler<UrlEvent>, 3_000));
}

const workflow = await startWorkflow();

/** Step Functions' part: runs the workflow's definition, each step a call of the failover function. */
async function startWorkflow(): Promise<LocalWorkflow | undefined> {
  if (runs === undefined || definitionFile === undefined) return undefined;
  const failover = invoker<Payload>('failover', failoverHandler as Handler<Payload>, 60_000);
  const workflow = new LocalWorkflow({
    definition: JSON.parse(await readFile(definitionFile, 'utf8')),
    folder: runs,
    invoke: async (payload) => {
      const invocation = await failover.invoke(payload);
      if (invocation.kind === 'returned') return invocation.result;
      throw invocation.kind === 'failed' ? invocation.error : new Error('the function timed out');
    },
    onEvent: (event) => {
      tellParent({ kind: 'workflow', event });
      if (event.kind !== 'failed') return;
      const StateMachineArn = `arn:aws:states:${region}:000000000000:stateMachine:${workflowName(config.group)}`;
      figures.add('AWS/States', 'ExecutionsFailed', { StateMachineArn }, 1);
      tellStop({ dynamodb, group: config.group, table: config.controlTable }, event).catch((error) =>
        tellParent({ kind: 'requests-failed', why: String(error) }),
      );
    },
  });
  runFailoversBy(workflow);
  const { controlTable: table, group } = config;
  runDrillsBy((at) => new RequestedWorkflow({ dynamodb: peers.clients(at).dynamodb, group, table }));
  const drill = invoker<DrillEvent>('drill', drillHandler as Handler<DrillEvent>, 900_000);
  // EventBridge Scheduler's part: whoever runs the cloud says when.
  process.on('SIGUSR2', () => void drill.invoke({ kind: 'drill', due: new Date().toISOString() }));
  return workflow;
}

const logStream = await streamArnOf(dynamodb, config.logTable);
const { changes } = engine;
const sources = [
  ...(changes.kind === 'delivered' ? [captureSource(await changes.streamArn(region))] : []),
  source('relay', logStream, { invoker: relay, filter: isEntry }),
  source('apply', logStream, { invoker: apply, filter: isEntry }),
];
const tick = (everyMs: number, invoker: FunctionInvoker<TickEvent>) =>
  new Schedule({ everyMs, invoker, timer: systemTimer });
const schedules = [
  ...(changes.kind === 'fetched' ? [tick(CAPTURE_MS, capture)] : []),
  tick(RELAY_MS, relay),
  tick(APPLY_MS, apply),
  tick(SENTINEL_MS, sentinel),
  tick(RETENTION_MS, retention),
];

for (const each of [...sources, ...schedules]) each.start();
void sendFigures();
// What was cut off by the end of the last process goes on.
workflow?.resume();
if (workflow !== undefined) void takeRequests(workflow);

function captureSource(dataStream: string): EventSourceMapping {
  return source('capture', dataStream, {
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
  });
}

/** CloudWatch's part: the figures of the functions, and of the queue that nobody else looks at. */
async function sendFigures(): Promise<never> {
  const dimensions = { QueueName: resourceName(config.group, 'failures') };
  const depth = new GetQueueAttributesCommand({
    QueueUrl: config.failureQueueUrl,
    AttributeNames: ['ApproximateNumberOfMessages'],
  });
  for (;;) {
    const queue = await sqs.send(depth).catch(() => undefined);
    const waiting = Number(queue?.Attributes?.ApproximateNumberOfMessages);
    if (!Number.isNaN(waiting)) {
      figures.add('AWS/SQS', 'ApproximateNumberOfMessagesVisible', dimensions, waiting);
    }
    await figures.flush();
    await sleep(config.reportMs / 2);
  }
}

/** Starts the runs that people ask for. */
async function takeRequests(workflow: LocalWorkflow): Promise<never> {
  for (;;) {
    const from = { dynamodb, group: config.group, table: config.controlTable };
    await startRequested(from, workflow).catch((error) =>
      tellParent({ kind: 'requests-failed', why: String(error) }),
    );
    await sleep(REQUESTS_MS);
  }
}
serveParent();
