import {
  DeleteItemCommand,
  type DynamoDBClient,
  PutItemCommand,
  ScanCommand,
} from '@aws-sdk/client-dynamodb';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { Workflow } from '#lib/ports/sentinel-ports.ts';

/** Where requests for a run of a Region's workflow are left. */
export type RequestTable = {
  readonly dynamodb: DynamoDBClient;
  readonly group: GroupId;
  /** The Region's control table. */
  readonly table: string;
};

/**
 * Asks for a run in a Region of the embedded cloud, where there is no Step Functions to ask: item
 * `<group>#request#<run>` of its control table, with the input as JSON.
 */
export class RequestedWorkflow implements Workflow {
  readonly #to: RequestTable;

  constructor(to: RequestTable) {
    this.#to = to;
  }

  async start(input: FailoverInput): Promise<'started' | 'exists'> {
    const { dynamodb, group, table } = this.#to;
    const outcome = await conditional(() =>
      dynamodb.send(
        new PutItemCommand({
          TableName: table,
          Item: { id: { S: `${prefixOf(group)}${input.run}` }, input: { S: JSON.stringify(input) } },
          ConditionExpression: 'attribute_not_exists(id)',
        }),
      ),
    );
    return outcome.kind === 'done' ? 'started' : 'exists';
  }
}

/** Starts what has been asked for since the last call. A name that was used before is not started again. */
export async function startRequested(from: RequestTable, workflow: Workflow): Promise<void> {
  const { dynamodb, group, table: TableName } = from;
  const { Items = [] } = await dynamodb.send(
    new ScanCommand({
      TableName,
      ConsistentRead: true,
      FilterExpression: 'begins_with(id, :prefix)',
      ExpressionAttributeValues: { ':prefix': { S: prefixOf(group) } },
    }),
  );
  for (const { id, input } of Items) {
    await workflow.start(JSON.parse(input?.S ?? '') as FailoverInput);
    await dynamodb.send(new DeleteItemCommand({ TableName, Key: { id: id! } }));
  }
}

function prefixOf(group: GroupId): string {
  return `${group}#request#`;
}
