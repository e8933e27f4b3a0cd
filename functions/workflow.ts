import { SFNClient } from '@aws-sdk/client-sfn';
import { theRuntime } from '#functions/runtime.ts';
import { SfnWorkflow } from '#lib/aws/sfn-workflow.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Workflow } from '#lib/ports/sentinel-ports.ts';

let workflow: Workflow | undefined;

/** Runs failovers by something else than Step Functions. Call it before first use. */
export function runFailoversBy(other: Workflow): void {
  workflow = other;
}

/** The failover workflow of this Region. */
export function theWorkflow(): Workflow {
  workflow ??= stepFunctions();
  return workflow;
}

function stepFunctions(): Workflow {
  const { config, region } = theRuntime();
  const { stateMachineArn } = config.failover;
  if (stateMachineArn !== undefined)
    return new SfnWorkflow({ sfn: new SFNClient({ region }), stateMachineArn });
  throw new UnderstudyError(
    'CONFIG_INVALID',
    'the configuration names no state machine',
    'Deploy the functions by the constructs, which set failover.stateMachineArn.',
  );
}
