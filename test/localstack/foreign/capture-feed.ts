import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import {
  InvokeCommand,
  ListEventSourceMappingsCommand,
  UpdateEventSourceMappingCommand,
} from '@aws-sdk/client-lambda';
import type { Checkpoints } from '#lib/local/event-source/checkpoint-store.ts';
import { DynamoDBStreamReader } from '#lib/local/event-source/dynamodb-stream-reader.ts';
import { EventSourceMapping } from '#lib/local/event-source/event-source-mapping.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import { systemTimer } from '#lib/local/event-source/timer.ts';
import type { Group } from '../group.ts';

const WINDOW_SECONDS = 60;
const TIMEOUT_MS = 60_000;
/** As often as Lambda does. */
const POLL_MS = 250;

/**
 * Event sources for `capture` where the cloud's own lose their tumbling window, without which no batch names its shard:
 * the embedded cloud's, which read the stream and invoke the deployed function by their public APIs.
 */
export class CaptureFeed implements AsyncDisposable {
  readonly #sources = new Map<string, { source: EventSourceMapping; client: DynamoDBStreamsClient }>();

  /** Takes the place of the Regions' own event sources where it has to, and answers where it has by now. */
  async replace(group: Group): Promise<readonly string[]> {
    const FunctionName = group.nameOf('capture');
    for (const region of group.regions) {
      const lambda = group.lambda(region);
      const { EventSourceMappings = [] } = await lambda.send(
        new ListEventSourceMappingsCommand({ FunctionName }),
      );
      const [own] = EventSourceMappings;
      if (own === undefined) throw new Error(`capture has no event source in ${region}`);
      if ((own.TumblingWindowInSeconds ?? 0) > 0) continue;
      await lambda.send(new UpdateEventSourceMappingCommand({ UUID: own.UUID, Enabled: false }));
      if (!this.#sources.has(region)) this.#sources.set(region, start(group, region, own.EventSourceArn!));
    }
    return [...this.#sources.keys()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { source, client } of this.#sources.values()) {
      await source.stop();
      client.destroy();
    }
  }
}

function start(group: Group, region: string, streamArn: string) {
  const client = new DynamoDBStreamsClient({ region });
  const lost = (loss: object) => group.report.say(`      ${region}: ${JSON.stringify(loss)}`);
  const functionName = group.nameOf('capture');
  const invoker = new FunctionInvoker<StreamEvent>({
    functionName,
    functionArn: `arn:aws:lambda:${region}:${group.target.account}:function:${functionName}`,
    handler: (event) => invoke(group, region, event),
    timeoutMs: TIMEOUT_MS,
    timer: systemTimer,
  });
  let saved: Checkpoints = {};
  const source = new EventSourceMapping({
    name: region,
    streamArn,
    reader: new DynamoDBStreamReader({ client, streamArn, awsRegion: region, onDataLoss: lost }),
    invoker,
    checkpoints: {
      load: async () => saved,
      save: async (_, checkpoints) => {
        saved = checkpoints;
      },
    },
    timer: systemTimer,
    random: Math.random,
    onDataLoss: lost,
    batchSize: 1000,
    pollIntervalMs: POLL_MS,
    reportBatchItemFailures: true,
    bisectBatchOnFunctionError: true,
    tumblingWindowSeconds: WINDOW_SECONDS,
  });
  source.start();
  return { source, client };
}

async function invoke(group: Group, region: string, event: StreamEvent): Promise<unknown> {
  const FunctionName = group.nameOf('capture');
  const { FunctionError, Payload } = await group
    .lambda(region)
    .send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
  const answer = Payload?.transformToString() || 'null';
  if (FunctionError !== undefined) throw new Error(answer);
  return JSON.parse(answer);
}
