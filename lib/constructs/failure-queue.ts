import { Duration, Validations } from 'aws-cdk-lib';
import type { IEventSourceDlq } from 'aws-cdk-lib/aws-lambda';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { groupKey } from '#lib/constructs/group-key.ts';
import type { Handler } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/**
 * Where failures end for somebody to look at. `failures`: a change that capture cannot log, and a batch that Lambda gave up.
 * `drill-failures`: a drill that did not pass, or that nobody was told of.
 */
export class FailureQueue extends Construct {
  readonly queue: Queue;

  constructor(scope: Construct, id: string, place: Place, name: 'failures' | 'drill-failures' = 'failures') {
    super(scope, id);
    const encryptionMasterKey = groupKey(this, place);
    this.queue = new Queue(this, 'Queue', {
      queueName: resourceName(place.config.group, name),
      ...(encryptionMasterKey === undefined
        ? { encryption: QueueEncryption.SQS_MANAGED }
        : { encryption: QueueEncryption.KMS, encryptionMasterKey }),
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
      removalPolicy: place.removal,
    });
    Validations.of(this.queue).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is itself where failures end; no consumer takes messages off it but an operator.',
    });
  }

  /** Sending to it, and knowing where it is. */
  grantSend(handler: Handler): void {
    handler.allow(['sqs:SendMessage'], [this.queue.queueArn]);
    handler.tell({ failureQueueUrl: this.queue.queueUrl });
  }

  /** It as the failure destination of an event source; the function's permission is that of `grantSend`. */
  destination(): IEventSourceDlq {
    return { bind: () => ({ destination: this.queue.queueArn }) };
  }
}
