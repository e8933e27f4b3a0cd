import { join } from 'node:path';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { startDynamoServer } from '#lib/local/dynamo-server.ts';
import { startGate } from '#lib/local/policy/gate-server.ts';
import type { Server } from '#lib/local/supervised.ts';
import { temporaryDirectory } from '../local/until.ts';

export const ROLE = 'arn:aws:iam::000000000000:role/understudy';

/** A DynamoDB server behind a policy gate, in which the access key `understudy` stands for a role. */
export class GatedDynamo implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  #gate!: Server;
  #tables = 0;
  #start!: (port?: number) => Promise<Server>;

  static async start(): Promise<GatedDynamo> {
    const gated = new GatedDynamo();
    const directory = gated.#stack.use(await temporaryDirectory());
    const server = gated.#stack.use(await startDynamoServer({ file: join(directory.path, 'dynamo.sqlite') }));
    const file = join(directory.path, 'policies.json');
    gated.#start = (port) =>
      startGate({
        target: server.port,
        file,
        principals: { understudy: ROLE },
        ...(port !== undefined && { port }),
      });
    gated.#gate = await gated.#start();
    gated.#stack.defer(() => gated.#gate.stop());
    return gated;
  }

  get endpoint(): string {
    return this.#gate.endpoint;
  }

  /** A client that signs with this access key. */
  as(accessKeyId: string): DynamoDBClient {
    const client = new DynamoDBClient({
      endpoint: this.#gate.endpoint,
      region: 'eu-west-1',
      credentials: { accessKeyId, secretAccessKey: 'local' },
    });
    this.#stack.defer(() => client.destroy());
    return client;
  }

  /** SIGKILL, and a new process on the same port and file. */
  async restartGate(): Promise<void> {
    await this.#gate.stop();
    this.#gate = await this.#start(this.#gate.port);
  }

  async createTable(): Promise<string> {
    const name = `table-${++this.#tables}`;
    await this.as('understudy').send(
      new CreateTableCommand({
        TableName: name,
        KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
        AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    );
    return name;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
