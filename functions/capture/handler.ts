import middy from '@middy/core';
import { z } from 'zod';
import { parsed, reported } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { SqsRejects } from '#lib/aws/sqs-rejects.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import { DynamoCapture } from '#lib/engines/dynamodb/dynamo-capture.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { type CaptureDeps, capture } from '#lib/usecases/capture.ts';

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

let deps: CaptureDeps<StreamRecord> | undefined;
let known: Head | undefined;

export const handler = middy<z.infer<typeof batch>, BatchResponse>()
  .use(reported('capture'))
  .use(parsed(batch))
  .handler(async ({ Records, shardId }) => {
    if (shardId === undefined) {
      throw new UnderstudyError(
        'CAPTURE_SHARD_UNKNOWN',
        'the event names no shard',
        'Give the event source mapping a tumbling window (TumblingWindowInSeconds), as the construct does.',
      );
    }
    deps ??= createDeps();
    // Marks outlive a leader, and shards of two Regions may have the same name.
    const shard = `${deps.region}/${shardId}`;
    const { failedFrom, head } = await capture(deps, LANE_0, shard, Records, known);
    known = head;
    const failures = failedFrom === undefined ? [] : [{ itemIdentifier: failedFrom }];
    return { state: {}, batchItemFailures: failures };
  });

function createDeps(): CaptureDeps<StreamRecord> {
  const { config, region, peers, control, telemetry } = theRuntime();
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
    engine: new DynamoCapture(config),
    log: peers.log(region),
    control,
    divergences: peers.divergences(region),
    rejects: new SqsRejects({ sqs: peers.clients(region).sqs, queueUrl }),
    telemetry,
  };
}
