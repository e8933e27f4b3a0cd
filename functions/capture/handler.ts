import middy from '@middy/core';
import * as z from 'zod';
import { inTurn } from '#functions/capture/in-turn.ts';
import { parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { SqsRejects } from '#lib/aws/sqs-rejects.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { type CaptureDeps, capture } from '#lib/usecases/capture.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';

/**
 * A batch of the data table's stream. Lambda names the shard only where the event source has a tumbling window,
 * which is why it has one. Single records are checked where they are encoded.
 */
const batch = z.object({
  Records: z.array(z.custom<StreamRecord>((record) => typeof record === 'object' && record !== null)),
  shardId: z.string().optional(),
});

/** The answer that Lambda expects of an event source with a tumbling window and partial batch failures. */
type BatchResponse = {
  readonly state: Record<string, never>;
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
};

const event = z.union([batch, tick]);

/** Time left at which no more is fetched, ms. */
const RESERVE_MS = 5_000;

let deps: CaptureDeps<unknown> | undefined;
let known: Head | undefined;

/** On a batch of the store's stream: logs it. On a tick: logs what waits at the store, for as long as there is time. */
export const handler = middy<z.infer<typeof event>, BatchResponse | undefined>()
  .use(reported('capture'))
  .use(parsed(event))
  .handler(async (received, context) => {
    deps ??= createDeps();
    if ('kind' in received) {
      await fetchChanges(
        deps,
        AbortSignal.timeout(Math.max(0, context.getRemainingTimeInMillis() - RESERVE_MS)),
      );
      return undefined;
    }
    return takeBatch(deps, received);
  });

async function takeBatch(
  given: CaptureDeps<unknown>,
  { Records, shardId }: z.infer<typeof batch>,
): Promise<BatchResponse> {
  if (shardId === undefined) {
    throw new UnderstudyError(
      'CAPTURE_SHARD_UNKNOWN',
      'the event names no shard',
      'Give the event source mapping a tumbling window (TumblingWindowInSeconds), as the construct does.',
    );
  }
  // Marks outlive a leader, and shards of two Regions may have the same name.
  const shard = `${given.region}/${shardId}`;
  const { failedFrom, head } = await capture(given, LANE_0, shard, Records, known);
  known = head;
  const failures = failedFrom === undefined ? [] : [{ itemIdentifier: failedFrom }];
  return { state: {}, batchItemFailures: failures };
}

async function fetchChanges(given: CaptureDeps<unknown>, signal: AbortSignal): Promise<void> {
  const { changes } = theRuntime().engine;
  if (changes.kind === 'delivered') {
    throw new UnderstudyError(
      'EVENT_INVALID',
      'the changes of this store are delivered by an event source, and nobody fetches them',
      'Remove the schedule of this function.',
    );
  }
  await inTurn(
    async () =>
      captureSource(given, LANE_0, changes.source(given.region, await given.control.role()), signal),
    signal,
  );
}

function createDeps(): CaptureDeps<unknown> {
  const { config, region, peers, engine, control, telemetry } = theRuntime();
  const { failureQueueUrl: queueUrl } = config;
  if (queueUrl === undefined) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'UNDERSTUDY_CONFIG: failureQueueUrl is not set',
      'Deploy the functions by the constructs, which set it.',
    );
  }
  return {
    region,
    engine: engine.changes.engine,
    log: peers.log(region),
    control,
    divergences: peers.divergences(region),
    rejects: new SqsRejects({ sqs: peers.clients(region).sqs, queueUrl }),
    telemetry,
  };
}
