import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AttributeType, MultiRegionConsistency, TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import type { Construct } from 'constructs';
import { nothingDeletedIn } from '#lib/constructs/control-store.ts';
import { resourceName } from '#lib/constructs/names.ts';
import { environmentOf, type Place, tableArn } from '#lib/constructs/place.ts';
import { membersOf } from '#lib/domain/topology.ts';

/**
 * The MRSC table that is a group's register, with a replica in each of its Regions. CloudFormation can make it from one
 * Region alone, with all replicas at once: hence a stack of its own, which is deployed first, once, and then left alone.
 * It is that of the first Region in the order of names, so that it stays where it is however `regions` are listed.
 */
export class RegisterStack extends Stack {
  readonly table: TableV2;

  constructor(
    scope: Construct,
    { account, config, removal, table }: Omit<Place, 'region'> & { readonly table: string },
  ) {
    const [home, ...others] = membersOf(config).toSorted();
    // Stacks that need none of the others come as they were made, or by their ids, depending on who lists them: with a
    // capital, this one is the first either way.
    super(scope, 'Register', {
      stackName: resourceName(config.group, 'register'),
      env: environmentOf({ account, region: home! }),
      description: `Understudy: register of group ${config.group} in ${home}`,
    });
    const protectedIn = (region: typeof home) => nothingDeletedIn(tableArn(this, table, region!));
    this.table = new TableV2(this, 'Table', {
      tableName: table,
      partitionKey: { name: 'id', type: AttributeType.STRING },
      multiRegionConsistency: MultiRegionConsistency.STRONG,
      replicas: others.map((region) => ({ region, resourcePolicy: protectedIn(region) })),
      resourcePolicy: protectedIn(home),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: removal === RemovalPolicy.RETAIN,
      removalPolicy: removal,
    });
  }
}
