import { Token } from 'aws-cdk-lib';
import { type IVpc, SubnetType } from 'aws-cdk-lib/aws-ec2';
import type { FunctionNetworkProps } from '#lib/constructs/postgres-props.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';

/** Where the functions of a Region run. */
export type NetworkPlan = {
  readonly vpcId: string;
  readonly subnetIds: readonly string[];
  /** None: one is made. */
  readonly securityGroupIds: readonly string[];
};

/** Checks where the functions of a Region are to run. Throws CONFIG_INVALID that names the prop. */
export function networkOf(
  region: string,
  { securityGroups = [], subnets, vpc }: FunctionNetworkProps,
): NetworkPlan {
  const prop = `engine.network.${region}`;
  const securityGroupIds = securityGroups.map((each) =>
    typeof each === 'string' ? each : each.securityGroupId,
  );
  const { vpcId } = vpc;
  const ids = { vpc: [vpcId], subnet: Array.isArray(subnets) ? subnets : [], sg: securityGroupIds };
  for (const [kind, given] of Object.entries(ids)) {
    const wrong = given.find((id) => !Token.isUnresolved(id) && !new RegExp(`^${kind}-[0-9a-f]+$`).test(id));
    if (wrong !== undefined)
      throw invalidProp(prop, `${JSON.stringify(wrong)} is not an id`, `Give one such as ${kind}-0123abcd.`);
  }
  if (Array.isArray(subnets)) {
    if (subnets.length > 0) return { vpcId, subnetIds: subnets, securityGroupIds };
    throw invalidProp(
      `${prop}.subnets`,
      'there is none',
      'Give private subnets with a way to AWS, in two zones at least.',
    );
  }
  if (!isVpc(vpc)) {
    throw invalidProp(`${prop}.subnets`, 'the id of a VPC does not say which', 'Give their ids, or an IVpc.');
  }
  try {
    const selection = (subnets as object | undefined) ?? { subnetType: SubnetType.PRIVATE_WITH_EGRESS };
    const { subnetIds, hasPublic } = vpc.selectSubnets(selection);
    if (hasPublic) throw new Error('a function gets no public address in a public subnet, and so no way out');
    if (subnetIds.length === 0) throw new Error('there is none of that kind');
    return { vpcId, subnetIds, securityGroupIds };
  } catch (cause) {
    throw invalidProp(
      `${prop}.subnets`,
      (cause as Error).message.split('\n')[0]!,
      'Give private subnets with a way to AWS (a NAT gateway), or name others by subnets.',
    );
  }
}

function isVpc(vpc: FunctionNetworkProps['vpc']): vpc is Pick<IVpc, 'vpcId' | 'selectSubnets'> {
  return 'selectSubnets' in vpc;
}
