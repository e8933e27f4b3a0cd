import {
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  ScanCommand,
} from '@aws-sdk/client-dynamodb';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import { reasonOf } from '#lib/aws/sfn-workflow.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';
import type { Executions, Stop, Workflow } from '#lib/ports/sentinel-ports.ts';

/** Where requests for a run of a Region's workflow are left. */
export type RequestTable = {
  readonly dynamodb: DynamoDBClient;
  readonly group: GroupId;
  /** The Region's control table. */
  readonly table: string;
};

/**
 * Asks for a run in a Region of the embedded cloud, where there is no Step Functions to ask: item
 * `<group>#request#<run>` of its control table, with the input as JSON. Item `<group>#stop#<run>` tells of one that failed.
 */
export class RequestedWorkflow implements Workflow, Executions {
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

  async stopOf(run: string): Promise<Stop | undefined> {
    const { dynamodb, group, table } = this.#to;
    const { Item } = await dynamodb.send(
      new GetItemCommand({ TableName: table, Key: { id: { S: stopKey(group, run) } }, ConsistentRead: true }),
    );
    return Item?.stop?.S === undefined ? undefined : (JSON.parse(Item.stop.S) as Stop);
  }
}

/** Leaves word for whoever asked, once a run has failed. */
export async function tellStop({ dynamodb, group, table }: RequestTable, event: RunEvent): Promise<void> {
  if (event.kind !== 'failed') return;
  const stop: Stop = { how: 'failed', why: reasonOf(event.error, event.cause) };
  await dynamodb.send(
    new PutItemCommand({
      TableName: table,
      Item: { id: { S: stopKey(group, event.run) }, stop: { S: JSON.stringify(stop) } },
    }),
  );
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

function stopKey(group: GroupId, run: string): string {
  return `${group}#stop#${run}`;
}

function prefixOf(group: GroupId): string {
  return `${group}#request#`;
}
