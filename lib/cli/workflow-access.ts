import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RuntimeConfig } from '#lib/aws/config.ts';
import { SfnWorkflow, workflowArnIn } from '#lib/aws/sfn-workflow.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';
import type { Decision } from '#lib/ports/history.ts';
import type { Executions, Workflow } from '#lib/ports/sentinel-ports.ts';
import { followRun } from '#lib/usecases/control/follow-run.ts';

/** The failover workflows of all Regions. */
export interface WorkflowStarter {
  start(region: RegionId, input: FailoverInput): Promise<'started' | 'exists'>;
  /** The steps of a run as they are made, up to its end. Throws RUN_STOPPED or REGION_UNREACHABLE if it ends otherwise. */
  follow(region: RegionId, input: FailoverInput): AsyncIterable<Decision>;
}

/** At AWS a run is started in Step Functions; anywhere else it is asked for in the Region's control table. */
export function workflowsOf(
  config: RuntimeConfig,
  peers: AwsPeers,
  time: { readonly now: () => number; readonly sleep: (ms: number) => Promise<void> },
): WorkflowStarter {
  const workflowIn = (region: RegionId): Workflow & Executions => {
    const { dynamodb, sfn } = peers.clients(region);
    if (sfn !== undefined) return new SfnWorkflow({ sfn, stateMachineArn: workflowArnIn(config, region) });
    const { controlTable: table, group } = config;
    return new RequestedWorkflow({ dynamodb, group, table });
  };
  return {
    start: (region, input) => workflowIn(region).start(input),
    follow: (region, input) => followRun(peers.history(region), input, time, workflowIn(region)),
  };
}
