import { type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import type { KeySchema } from '#lib/domain/topology.ts';

const NOBODY = { S: { S: 'understudy' }, N: { N: '0' }, B: { B: new Uint8Array(1) } } as const;

/**
 * Whether a table takes writes of whoever `dynamodb` is. Nothing is ever written: the condition can't hold, and it is
 * looked at only once the write is allowed.
 */
export async function tryWrite(
  dynamodb: DynamoDBClient,
  table: string,
  key: KeySchema,
): Promise<'refused' | 'taken'> {
  try {
    await conditional(() =>
      dynamodb.send(
        new PutItemCommand({
          TableName: table,
          Item: Object.fromEntries(key.map(({ name, type }) => [name, NOBODY[type]])),
          ConditionExpression: 'attribute_exists(#key) AND attribute_not_exists(#key)',
          ExpressionAttributeNames: { '#key': key[0].name },
        }),
      ),
    );
    return 'taken';
  } catch (error) {
    if (error instanceof Error && error.name === 'AccessDeniedException') return 'refused';
    throw error;
  }
}
