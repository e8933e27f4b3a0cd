import { setTimeout as sleep } from 'node:timers/promises';
import middy from '@middy/core';
import * as z from 'zod';
import { controlDeps } from '#functions/control-deps.ts';
import { parsed, reported } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { surveyBy } from '#functions/survey.ts';
import { S3DrillEvidence } from '#lib/aws/s3-drill-evidence.ts';
import { SfnWorkflow, workflowArnIn } from '#lib/aws/sfn-workflow.ts';
import { LAG_ALARMS } from '#lib/domain/alarms.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Executions, Workflow } from '#lib/ports/sentinel-ports.ts';
import { type DrillEnd, scheduledDrill } from '#lib/usecases/control/scheduled-drill.ts';

/** Time left below which the way back is not begun, ms: what a switchover may take, and its report. */
const RESERVE_MS = 240_000;

/** `due`: when the schedule meant it, ISO 8601. */
const event = z.object({ kind: z.literal('drill'), due: z.iso.datetime({ offset: true }) });

let workflowIn: (region: RegionId) => Workflow & Executions = (region) => {
  const { config, peers } = theRuntime();
  return new SfnWorkflow({
    sfn: peers.clients(region).sfn!,
    stateMachineArn: workflowArnIn(config, region),
  });
};

/** Runs drills by something else than Step Functions. Call it before first use. */
export function runDrillsBy(other: (region: RegionId) => Workflow & Executions): void {
  workflowIn = other;
}

/** On a schedule, in every Region: the one that leads rehearses a switchover there and back. */
export const handler = middy<z.infer<typeof event>, DrillEnd>()
  .use(reported('drill'))
  .use(parsed(event))
  .handler(async ({ due }, context) => {
    const { config, peers, telemetry } = theRuntime();
    const deps = { ...controlDeps(), sleep: (ms: number) => sleep(ms) };
    if (config.drill === undefined) {
      throw new UnderstudyError(
        'CONFIG_INVALID',
        'the configuration does not say who has approved the drills',
        'Deploy the function by the constructs, with the prop drill.',
      );
    }
    const end = await scheduledDrill(
      {
        ...deps,
        config,
        survey: () => surveyBy(deps, LAG_ALARMS),
        workflowIn,
        historyOf: (at) => peers.history(at),
        evidence: new S3DrillEvidence({
          s3: peers.clients(config.region).s3,
          bucket: config.buckets[config.region]!,
          group: config.group,
        }),
        approvedBy: config.drill.approvedBy,
        mayGoOn: () => context.getRemainingTimeInMillis() > RESERVE_MS,
      },
      due,
    );
    telemetry.event('drill', fieldsOf(end));
    if (end.outcome === 'kept' && end.report.outcome === 'failed') {
      const { code, why } = end.report;
      throw new UnderstudyError(
        'DRILL_FAILED',
        `the drill of ${due} failed: ${code}: ${why}`,
        `Read its report, ${end.at}.`,
      );
    }
    return end;
  });

function fieldsOf(end: DrillEnd): Readonly<Record<string, string>> {
  if (end.outcome !== 'kept') return { ...end };
  return { outcome: end.report.outcome, at: end.at };
}
