import { type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { readStored, updateStored } from '#lib/aws/stored-item.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Decision, History } from '#lib/ports/history.ts';

/** One item `<group>#history#<epoch>` of a control table for each epoch: its decisions as JSON, in order. */
export class AwsHistory implements History {
  readonly #dynamodb: DynamoDBClient;
  readonly #group: GroupId;
  readonly #table: string;

  constructor(deps: { dynamodb: DynamoDBClient; group: GroupId; table: string }) {
    this.#dynamodb = deps.dynamodb;
    this.#group = deps.group;
    this.#table = deps.table;
  }

  async record(decision: Decision): Promise<void> {
    await updateStored(this.#dynamodb, {
      TableName: this.#table,
      Key: this.#key(decision.epoch),
      UpdateExpression: 'SET decisions = list_append(if_not_exists(decisions, :none), :decision)',
      ExpressionAttributeValues: {
        ':none': { L: [] },
        ':decision': { L: [{ S: JSON.stringify(decision) }] },
      },
    });
  }

  async of(epoch: Epoch): Promise<readonly Decision[]> {
    const { Item } = await this.#dynamodb.send(
      new GetItemCommand({ TableName: this.#table, Key: this.#key(epoch), ConsistentRead: true }),
    );
    // What a later release has added to a decision stays in it.
    return readStored(Item ?? {}, ({ decisions }) =>
      (decisions?.L ?? []).map(({ S = '' }) => JSON.parse(S) as Decision),
    );
  }

  #key(epoch: Epoch) {
    return { id: { S: `${this.#group}#history#${epoch}` } };
  }
}
