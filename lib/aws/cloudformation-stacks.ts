import { type CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import type { DeployedStacks } from '#lib/ports/deploy-facts.ts';

/** The stacks of CloudFormation. */
export class CloudFormationStacks implements DeployedStacks {
  readonly #cloudFormation: CloudFormationClient;

  constructor(cloudFormation: CloudFormationClient) {
    this.#cloudFormation = cloudFormation;
  }

  async isRollingBack(stackId: string): Promise<boolean> {
    const { Stacks = [] } = await this.#cloudFormation.send(
      new DescribeStacksCommand({ StackName: stackId }),
    );
    return Stacks[0]?.StackStatus?.includes('ROLLBACK') ?? false;
  }
}
