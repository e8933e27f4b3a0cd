import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionDoesNotExist,
  type SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import type { RuntimeConfig } from '#lib/aws/config.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Executions, Stop, Workflow } from '#lib/ports/sentinel-ports.ts';

/** The failover workflow as a state machine of Step Functions, which keeps the names of its executions for 90 days. */
export class SfnWorkflow implements Workflow, Executions {
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

  async stopOf(run: string): Promise<Stop | undefined> {
    const executionArn = `${this.#stateMachineArn.replace(':stateMachine:', ':execution:')}:${run}`;
    try {
      const { cause, error, status } = await this.#sfn.send(new DescribeExecutionCommand({ executionArn }));
      const how = STOPS[status ?? ''];
      return how && { how, why: reasonOf(error, cause) };
    } catch (error) {
      if (error instanceof ExecutionDoesNotExist) return undefined;
      throw error;
    }
  }
}

/** Both as Step Functions has them; either may be absent. */
export function reasonOf(error: string | undefined, cause: string | undefined): string {
  const said = [error, cause].filter((each) => each !== undefined && each !== '');
  return said.length === 0 ? 'no reason is given' : said.join(': ');
}

const STOPS: Readonly<Partial<Record<string, Stop['how']>>> = {
  FAILED: 'failed',
  TIMED_OUT: 'timed out',
  ABORTED: 'was aborted',
};

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
