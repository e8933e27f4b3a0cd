import { RemovalPolicy } from 'aws-cdk-lib';
import { BillingMode, Table, TableEncryption, type TableProps } from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import { groupKey } from '#lib/constructs/group-key.ts';
import type { Place } from '#lib/constructs/place.ts';

/** A table of a group: on demand, with point-in-time recovery, and not to be deleted unless the group says so. */
export function keptTable(
  scope: Construct,
  id: string,
  place: Place,
  props: Pick<TableProps, 'tableName' | 'partitionKey' | 'sortKey' | 'stream' | 'resourcePolicy'>,
): Table {
  const { removal } = place;
  const encryptionKey = groupKey(scope, place);
  return new Table(scope, id, {
    ...props,
    ...(encryptionKey && { encryption: TableEncryption.CUSTOMER_MANAGED, encryptionKey }),
    billingMode: BillingMode.PAY_PER_REQUEST,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: removal === RemovalPolicy.RETAIN,
    removalPolicy: removal,
  });
}
