import type { Attribute } from 'aws-cdk-lib/aws-dynamodb';
import { tableNames } from '#lib/constructs/names.ts';
import type { PostgresEngineProps } from '#lib/constructs/postgres-props.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { KeyAttribute, KeySchema, RegionConfig } from '#lib/domain/topology.ts';

type TableEngine = {
  readonly kind: 'dynamodb';
  readonly table: string;
  readonly key: KeySchema;
  readonly existing: boolean;
};

/** What a group replicates: made by one of the functions of `Engine`. */
export type Engine = TableEngine | (PostgresEngineProps & { readonly kind: 'postgres' });

export type DynamoEngineProps = {
  /** Name of the table: the same in every Region. 3 to 255 characters of a-z, A-Z, 0-9, '_', '-' and '.'. */
  readonly table: string;
  /** Its partition key, as in `aws-cdk-lib/aws-dynamodb`. */
  readonly partitionKey: Attribute;
  /** Its sort key, if it has one. */
  readonly sortKey?: Attribute;
  /**
   * The table is there in every Region already, and is taken in as it is: it is neither created nor changed. What it
   * lacks, such as a stream of new and old images, is named by the deployment, with its fix. Default: false.
   */
  readonly existing?: boolean;
};

/** The stores that a group can replicate. */
export const Engine = {
  /** A DynamoDB table in each Region. */
  dynamodb({ table, partitionKey, sortKey, existing = false }: DynamoEngineProps): Engine {
    const key = [partitionKey, ...(sortKey === undefined ? [] : [sortKey])].map(
      ({ name, type }): KeyAttribute => ({ name, type }),
    );
    return { kind: 'dynamodb', table, key: key as [KeyAttribute] | [KeyAttribute, KeyAttribute], existing };
  },

  /**
   * A PostgreSQL database in each Region, of RDS, Aurora or any other host: it is there already, with what
   * `understudy doctor --engine postgres` asks for.
   */
  postgres(props: PostgresEngineProps): Engine {
    return { ...props, kind: 'postgres' };
  },
} as const;

/** ARN of a table; groups: its Region and its name. */
const TABLE_ARN = /^arn:[^:]+:dynamodb:([^:]*):[^:]*:table\/([^/]+)/;

/** Throws CONFIG_INVALID that names the prop of the table that a group of these Regions can't have. */
export function refuseTable(
  { table, key }: Pick<TableEngine, 'table' | 'key'>,
  group: GroupId,
  regions: readonly RegionConfig[],
): void {
  const arn = TABLE_ARN.exec(table);
  if (arn !== null && !regions.some(({ name }) => name === arn[1])) {
    throw invalidProp(
      'engine.table',
      `the table lies in ${arn[1]}, which is not a Region of the group`,
      `Add ${arn[1]} to regions, or name a table that is in each of ${regions.map(({ name }) => name).join(', ')}.`,
    );
  }
  if (arn !== null) {
    throw invalidProp(
      'engine.table',
      'an ARN names a table of one Region',
      `Give its name alone: ${arn[2]}.`,
    );
  }
  if (!/^[a-zA-Z0-9_.-]{3,255}$/.test(table)) {
    throw invalidProp(
      'engine.table',
      `${JSON.stringify(table)} is not the name of a DynamoDB table`,
      "Use 3 to 255 characters of a-z, A-Z, 0-9, '_', '-' and '.'.",
    );
  }
  if (Object.values(tableNames(group)).includes(table)) {
    throw invalidProp(
      'engine.table',
      `${table} is a table of Understudy's own`,
      'Give the table another name.',
    );
  }
  const [partitionKey, sortKey] = key;
  if (partitionKey.name === sortKey?.name) {
    throw invalidProp(
      'engine.sortKey',
      `it has the name of the partition key, ${sortKey.name}`,
      'Give the sort key its own name.',
    );
  }
}
