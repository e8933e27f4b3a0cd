import { RemovalPolicy } from 'aws-cdk-lib';
import { BillingMode, Table, type TableProps } from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import type { Place } from '#lib/constructs/place.ts';

/** A table of a group: on demand, with point-in-time recovery, and not to be deleted unless the group says so. */
export function keptTable(
  scope: Construct,
  id: string,
  { removal }: Place,
  props: Pick<TableProps, 'tableName' | 'partitionKey' | 'sortKey' | 'stream'>,
): Table {
  return new Table(scope, id, {
    ...props,
    billingMode: BillingMode.PAY_PER_REQUEST,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: removal === RemovalPolicy.RETAIN,
    removalPolicy: removal,
  });
}
