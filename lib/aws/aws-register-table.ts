import {
  DescribeTableCommand,
  type DynamoDBClient,
  ResourceNotFoundException,
} from '@aws-sdk/client-dynamodb';
import type { RegisterFacts } from '#lib/domain/deploy-check.ts';
import type { RegisterTable } from '#lib/ports/deploy-facts.ts';

/** A global table by its name, as the Region of the client has it. */
export class AwsRegisterTable implements RegisterTable {
  readonly #dynamodb: DynamoDBClient;
  readonly #region: string;
  readonly #table: string;

  constructor(deps: { dynamodb: DynamoDBClient; region: string; table: string }) {
    this.#dynamodb = deps.dynamodb;
    this.#region = deps.region;
    this.#table = deps.table;
  }

  async look(): Promise<RegisterFacts | undefined> {
    try {
      const { Table } = await this.#dynamodb.send(new DescribeTableCommand({ TableName: this.#table }));
      // Whether the list names the Region that is asked, too, depends on the version of the global table.
      const replicas = Table?.Replicas?.flatMap(({ RegionName }) => RegionName ?? []) ?? [];
      return {
        isStrong: Table?.MultiRegionConsistency === 'STRONG',
        regions: [...new Set([this.#region, ...replicas])],
      };
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  }
}
