import {
  DescribeTableCommand,
  type DynamoDBClient,
  ListTagsOfResourceCommand,
  ResourceNotFoundException,
  type TableDescription,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-dynamodb';
import type { TableFacts } from '#lib/domain/deploy-check.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { KeyType } from '#lib/domain/topology.ts';
import type { ExistingTable } from '#lib/ports/deploy-facts.ts';

/** Tag that names the group of a table: on those that a group creates, too. */
const GROUP_TAG = 'understudy:group';

/** A DynamoDB table by its name. */
export class AwsExistingTable implements ExistingTable {
  readonly #dynamodb: DynamoDBClient;
  readonly #table: string;

  constructor(deps: { dynamodb: DynamoDBClient; table: string }) {
    this.#dynamodb = deps.dynamodb;
    this.#table = deps.table;
  }

  async look(): Promise<TableFacts | undefined> {
    const found = await this.#describe();
    if (found === undefined) return undefined;
    const types = new Map(
      found.AttributeDefinitions?.map((each) => [each.AttributeName, each.AttributeType]),
    );
    const key = found.KeySchema ?? [];
    return {
      // DynamoDB lists the partition key first.
      key: key.map(({ AttributeName: name = '' }) => ({ name, type: types.get(name) as KeyType })),
      ...(found.StreamSpecification?.StreamEnabled && {
        streamView: found.StreamSpecification.StreamViewType,
        streamArn: found.LatestStreamArn,
      }),
      replicas: found.Replicas?.map(({ RegionName = '' }) => RegionName) ?? [],
      group: await this.#groupOf(found.TableArn!),
    };
  }

  async claim(group: GroupId): Promise<void> {
    const arn = (await this.#describe())?.TableArn;
    const Tags = [{ Key: GROUP_TAG, Value: group }];
    await this.#dynamodb.send(new TagResourceCommand({ ResourceArn: arn, Tags }));
  }

  async release(group: GroupId): Promise<void> {
    const arn = (await this.#describe())?.TableArn;
    if (arn === undefined || (await this.#groupOf(arn)) !== group) return;
    await this.#dynamodb.send(new UntagResourceCommand({ ResourceArn: arn, TagKeys: [GROUP_TAG] }));
  }

  async #groupOf(arn: string): Promise<string | undefined> {
    let page: string | undefined;
    do {
      const { Tags = [], NextToken } = await this.#dynamodb.send(
        new ListTagsOfResourceCommand({ ResourceArn: arn, ...(page && { NextToken: page }) }),
      );
      const tag = Tags.find(({ Key }) => Key === GROUP_TAG);
      if (tag !== undefined) return tag.Value;
      page = NextToken;
    } while (page !== undefined);
    return undefined;
  }

  async #describe(): Promise<TableDescription | undefined> {
    try {
      return (await this.#dynamodb.send(new DescribeTableCommand({ TableName: this.#table }))).Table;
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  }
}
