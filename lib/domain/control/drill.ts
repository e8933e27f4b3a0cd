import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { RunEnd, Step } from '#lib/domain/control/run-end.ts';
import type { ErrorCode } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, type Epoch } from '#lib/domain/lsn.ts';

/** One of a drill's two switchovers. Times are Unix ms. */
export type DrillLeg = {
  readonly run: string;
  readonly from: RegionId;
  /** Who was promoted; null if nobody was. */
  readonly to: RegionId | null;
  /** The epoch that it was to begin. */
  readonly epoch: Epoch;
  readonly startedMs: number;
  readonly endedMs: number;
  /** From the start of the run until a write committed at the new leader and DNS named it; null if it did not come to that. */
  readonly rtoMs: number | null;
  /** What it may have lost at the most; null for unknown, which is not 0. */
  readonly rpo: { readonly records: number | null; readonly ms: number | null };
  readonly end: RunEnd;
  readonly timeline: readonly { readonly atMs: number; readonly step: string; readonly outcome: unknown }[];
};

/** What a scheduled drill leaves behind, as JSON in the bucket of the Region that led. */
export type DrillReport = {
  readonly version: 1;
  readonly group: string;
  /** When it was due, ISO 8601: the name of the drill. */
  readonly due: string;
  readonly approvedBy: string;
  /** The Region that led before, and ran the drill. */
  readonly home: RegionId;
  readonly begunMs: number;
  readonly endedMs: number;
} & (
  | { readonly outcome: 'passed'; readonly there: DrillLeg; readonly back: DrillLeg }
  | { readonly outcome: 'refused'; readonly code: ErrorCode; readonly why: string }
  | {
      readonly outcome: 'failed';
      readonly code: ErrorCode;
      readonly why: string;
      readonly there?: DrillLeg;
      readonly back?: DrillLeg;
    }
);

/**
 * The run by which a drill begins `epoch`. The name goes into the register with the epoch, so every Region can tell a lead
 * that this very drill has moved from any other. At most 74 characters, of the 80 that Step Functions takes.
 */
export function drillRun({ due, group }: Pick<DrillReport, 'group' | 'due'>, epoch: Epoch): string {
  const stamp = new Date(due).toISOString().replace(/[-:]|\.\d+/g, '');
  return `${group}-${epoch}-${stamp}-drill`;
}

/** The run that a drill starts to end `epoch`: the same however often it is started. */
export function drillInput(
  drill: Pick<DrillReport, 'group' | 'due' | 'approvedBy'>,
  epoch: Epoch,
  successor?: RegionId,
): FailoverInput {
  const { approvedBy, due, group } = drill;
  return {
    group,
    epoch,
    kind: 'switchover',
    run: drillRun(drill, advanceEpoch(epoch)),
    trigger: 'drill',
    ...(successor !== undefined && { successor }),
    reason: `scheduled drill of ${due}, approved by ${approvedBy}`,
    // Whoever approved the schedule has approved the run.
    approval: false,
  };
}

/** What a run of a drill came to, by the decisions that it wrote down. */
export function legOf(
  { epoch, run }: FailoverInput,
  from: RegionId,
  decisions: readonly (Step & { readonly atMs: number })[],
  times: { readonly startedMs: number; readonly endedMs: number },
  end: RunEnd,
): DrillLeg {
  const outcomeOf = (step: string) =>
    decisions.findLast((each) => each.step === step)?.outcome as
      | Readonly<Record<string, unknown>>
      | undefined;
  const promoted = outcomeOf('promote');
  const elected = outcomeOf('elect');
  const verified = decisions.find(
    ({ outcome, step }) => step === 'verify' && (outcome as { outcome?: unknown }).outcome === 'verified',
  );
  return {
    run,
    from,
    to: promoted?.outcome === 'promoted' ? (promoted.leader as RegionId) : null,
    epoch: advanceEpoch(epoch),
    ...times,
    rtoMs: verified === undefined ? null : verified.atMs - times.startedMs,
    rpo: (elected?.rpo as DrillLeg['rpo'] | undefined) ?? { records: null, ms: null },
    end,
    timeline: decisions.map(({ atMs, outcome, step }) => ({ atMs, step, outcome })),
  };
}
