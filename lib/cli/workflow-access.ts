import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RuntimeConfig } from '#lib/aws/config.ts';
import { SfnWorkflow } from '#lib/aws/sfn-workflow.ts';
import { endOfRun, type Step } from '#lib/cli/run-end.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch } from '#lib/domain/lsn.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';
import type { Decision, History } from '#lib/ports/history.ts';
import type { Workflow } from '#lib/ports/sentinel-ports.ts';

/** How often a run is looked at, and how long it may say nothing before nobody waits for it any more, ms. */
const POLL_MS = 200;
const SILENCE_MS = 90_000;

/** The failover workflows of all Regions. */
export interface WorkflowStarter {
  start(region: RegionId, input: FailoverInput): Promise<'started' | 'exists'>;
  /** The steps of a run as they are made, up to its end. Throws REGION_UNREACHABLE if it falls silent before. */
  follow(region: RegionId, input: FailoverInput): AsyncIterable<Decision>;
}

/** At AWS a run is started in Step Functions; anywhere else it is asked for in the Region's control table. */
export function workflowsOf(
  config: RuntimeConfig,
  peers: AwsPeers,
  time: { readonly now: () => number; readonly sleep: (ms: number) => Promise<void> },
): WorkflowStarter {
  const workflowIn = (region: RegionId): Workflow => {
    const { dynamodb, sfn } = peers.clients(region);
    if (sfn !== undefined) return new SfnWorkflow({ sfn, stateMachineArn: arnIn(config, region) });
    const { controlTable: table, group } = config;
    return new RequestedWorkflow({ dynamodb, group, table });
  };
  return {
    start: (region, input) => workflowIn(region).start(input),
    follow: (region, input) => followHistory(peers.history(region), input, time),
  };
}

/** Reads a run's steps from the decision log of its coordinator, which is the same wherever the workflow runs. */
export async function* followHistory(
  history: Pick<History, 'of'>,
  input: FailoverInput,
  { now, sleep }: { readonly now: () => number; readonly sleep: (ms: number) => Promise<void> },
): AsyncIterable<Decision> {
  const epoch = advanceEpoch(input.epoch);
  const steps: Step[] = [];
  for (let heardMs = now(); endOfRun(input.kind, steps) === undefined; ) {
    const decisions = await history.of(epoch).catch(() => []);
    const fresh = decisions.filter(({ run }) => run === input.run).slice(steps.length);
    for (const decision of fresh) {
      steps.push(decision);
      yield decision;
    }
    if (fresh.length > 0) heardMs = now();
    else if (now() - heardMs > SILENCE_MS) throw silent(input.run);
    else await sleep(POLL_MS);
  }
}

function silent(run: string): UnderstudyError {
  return new UnderstudyError(
    'REGION_UNREACHABLE',
    `run ${run} has made no step for ${SILENCE_MS / 1000} s`,
    'See understudy status and understudy history; a run that is stuck is taken over by another Region.',
  );
}

/** A group's workflow has the same name in each Region. */
export function arnIn({ failover }: RuntimeConfig, region: RegionId): string {
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
