import { SendMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { Reject, Rejects } from '#lib/ports/rejects.ts';

/** The failure queue: one message a reject, as JSON. */
export class SqsRejects implements Rejects {
  readonly #sqs: SQSClient;
  readonly #queueUrl: string;

  constructor(deps: { sqs: SQSClient; queueUrl: string }) {
    this.#sqs = deps.sqs;
    this.#queueUrl = deps.queueUrl;
  }

  async put(reject: Reject): Promise<void> {
    await this.#sqs.send(
      new SendMessageCommand({ QueueUrl: this.#queueUrl, MessageBody: JSON.stringify(reject) }),
    );
  }
}
