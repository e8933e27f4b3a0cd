import { type DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { type AcceptorWrite, readAcceptor } from '#lib/aws/acceptor-item.ts';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import { ItemAcceptor } from '#lib/aws/item-acceptor.ts';
import { KNOWN_VERSION } from '#lib/aws/stored-item.ts';
import type { Answer } from '#lib/domain/control/acceptor.ts';
import type { GroupId } from '#lib/domain/ids.ts';

/** Item `<group>#acceptor` of a Region's control table. */
export class AwsAcceptor extends ItemAcceptor {
  constructor({ dynamodb, group, table }: { dynamodb: DynamoDBClient; group: GroupId; table: string }) {
    super(dynamodb, table, `${group}#acceptor`);
  }

  protected async write<K extends string>({ update, done, refused }: AcceptorWrite<K>): Promise<Answer<K>> {
    const command = new UpdateItemCommand({
      ...this.item,
      ...update,
      ConditionExpression: `${KNOWN_VERSION} AND (${update.ConditionExpression})`,
      ReturnValues: 'ALL_NEW',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    });
    const outcome = await conditional(() => this.dynamodb.send(command));
    if (outcome.kind === 'done') return { kind: done, acceptor: readAcceptor(outcome.result.Attributes) };
    const acceptor = readAcceptor(outcome.item);
    return { kind: refused(acceptor), acceptor };
  }
}
