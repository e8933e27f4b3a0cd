import type { Duration } from 'aws-cdk-lib';
import { AttributeType, type ITable, StreamViewType, Table } from 'aws-cdk-lib/aws-dynamodb';
import type { IEventSourceDlq } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Handler } from '#lib/constructs/handler.ts';
import { keptTable } from '#lib/constructs/kept-table.ts';
import { type Place, tableArn, tableArns } from '#lib/constructs/place.ts';
import type { DynamoEngineConfig, KeyAttribute } from '#lib/domain/topology.ts';

const TYPES = { S: AttributeType.STRING, N: AttributeType.NUMBER, B: AttributeType.BINARY } as const;

type FeedOptions = { readonly window: Duration; readonly onFailure: IEventSourceDlq };

/** A Region's replica: the DynamoDB table of the group. */
export class DataStore extends Construct {
  readonly table: Table | ITable;
  readonly #place: Place<DynamoEngineConfig>;
  readonly #tableArn: string;

  /** @param existing the stream of a table that is there already; without it, the table is created. */
  constructor(
    scope: Construct,
    id: string,
    place: Place<DynamoEngineConfig>,
    existing?: { readonly streamArn: string },
  ) {
    super(scope, id);
    const [partitionKey, sortKey] = place.config.engine.key;
    const tableName = place.config.engine.table;
    this.#place = place;
    this.table =
      existing === undefined
        ? keptTable(this, 'Table', place, {
            tableName,
            partitionKey: attribute(partitionKey),
            ...(sortKey === undefined ? {} : { sortKey: attribute(sortKey) }),
            // Both images: where a record comes from is decided by what changed of the reserved attribute.
            stream: StreamViewType.NEW_AND_OLD_IMAGES,
          })
        : Table.fromTableAttributes(this, 'Table', { tableName, tableStreamArn: existing.streamArn });
    this.#tableArn = tableArn(this, place.config.engine.table, place.region);
  }

  /** Writing what the log says, here, and copying the table of whichever Region leads. */
  grantApply(handler: Handler): void {
    handler.allow(
      ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'],
      [this.#tableArn],
    );
    handler.allow(['dynamodb:GetItem', 'dynamodb:Scan', 'dynamodb:DescribeTable'], this.#everywhere());
  }

  /**
   * Writing the heartbeat record: whether a leader's table takes it is what a vote is about. Here, checking the
   * stream, and taking back what the group does not have.
   */
  grantWatch(handler: Handler): void {
    handler.allow(['dynamodb:PutItem'], this.#everywhere());
    handler.allow(
      ['dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem', 'dynamodb:DescribeTable'],
      [this.#tableArn],
    );
  }

  /** Applying the end of the log wherever the winner is, and trying whether it takes writes. */
  grantFailover(handler: Handler): void {
    handler.allow(
      [
        'dynamodb:GetItem',
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
        'dynamodb:DeleteItem',
        'dynamodb:ConditionCheckItem',
        'dynamodb:Scan',
        'dynamodb:DescribeTable',
      ],
      this.#everywhere(),
    );
    // A switchover proves of every shard of the stream here that its last write is logged.
    handler.allow(['dynamodb:BatchWriteItem'], [this.#tableArn]);
    handler.allow(['dynamodb:DescribeStream'], [this.table.tableStreamArn!]);
  }

  /** Invokes `handler` with the changes of the table, shard by shard, in order. */
  feed(handler: Handler, { window, onFailure }: FeedOptions): void {
    handler.readStream('Changes', this.table.tableStreamArn!, this.#tableArn, {
      batchSize: 1000,
      // One invocation of a shard at a time: order per key is order within the shard.
      parallelizationFactor: 1,
      reportBatchItemFailures: true,
      bisectBatchOnError: true,
      tumblingWindow: window,
      onFailure,
    });
  }

  #everywhere(): readonly string[] {
    return tableArns(this, this.#place, this.#place.config.engine.table);
  }
}

function attribute({ name, type }: KeyAttribute) {
  return { name, type: TYPES[type] };
}
