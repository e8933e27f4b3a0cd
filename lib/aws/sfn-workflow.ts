import { ExecutionAlreadyExists, type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import type { RuntimeConfig } from '#lib/aws/config.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Workflow } from '#lib/ports/sentinel-ports.ts';

/** The failover workflow as a state machine of Step Functions, which keeps the names of its executions for 90 days. */
export class SfnWorkflow implements Workflow {
  readonly #sfn: SFNClient;
  readonly #stateMachineArn: string;

  constructor(deps: { sfn: SFNClient; stateMachineArn: string }) {
    this.#sfn = deps.sfn;
    this.#stateMachineArn = deps.stateMachineArn;
  }

  async start(input: FailoverInput): Promise<'started' | 'exists'> {
    try {
      await this.#sfn.send(
        new StartExecutionCommand({
          stateMachineArn: this.#stateMachineArn,
          name: input.run,
          input: JSON.stringify(input),
        }),
      );
      return 'started';
    } catch (error) {
      if (error instanceof ExecutionAlreadyExists) return 'exists';
      throw error;
    }
  }
}

/** A group's workflow has the same name in each Region. */
export function workflowArnIn({ failover }: Pick<RuntimeConfig, 'failover'>, region: RegionId): string {
  if (failover.stateMachineArn === undefined) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'the description of the group names no state machine',
      'Give failover.stateMachineArn, that of any Region.',
    );
  }
  const parts = failover.stateMachineArn.split(':');
  parts[3] = region;
  return parts.join(':');
}
