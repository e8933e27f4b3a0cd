import type { ErrorCode } from '#lib/domain/errors.ts';

/** A step of a run, as the decision log has it. */
export type Step = { readonly step: string; readonly outcome: unknown };

export type RunEnd =
  | { readonly kind: 'done' }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly why: string;
      /** The step that kept failing: the run goes on from there if it is redriven. Absent where the run is over for good. */
      readonly stoppedAt?: string;
    };

/** Tries of a step that has to wait for others before the workflow gives the run up. */
export const WAITING_TRIES = { claim: 10, fence: 60, drain: 300, dns: 30, verify: 10 } as const;
/** How often the workflow takes a step that fails, before the run stops there. */
export const FAILING_TRIES = 6;

/** How a run ended, by the steps that it has made so far; undefined while it goes on. */
export function endOfRun(kind: 'failover' | 'switchover', steps: readonly Step[]): RunEnd | undefined {
  const last = steps.at(-1);
  if (last === undefined) return undefined;
  const { code, epoch, leader, outcome, stopped, why } = last.outcome as Record<string, unknown>;
  const alike = (each: Step) => each.step === last.step && outcomeOf(each) === outcome;
  if (outcome === 'failed') {
    // The handover that keeps failing is taken back.
    if (
      last.step === 'handover' ||
      steps.length - 1 - steps.findLastIndex((each) => !alike(each)) < FAILING_TRIES
    ) {
      return undefined;
    }
    const end = failed((code ?? 'RUN_STOPPED') as ErrorCode, `it stopped at ${last.step}: ${why}`);
    return { ...end, stoppedAt: last.step };
  }
  const tried = steps.filter((each) => each.step === last.step && outcomeOf(each) !== 'failed').length;
  const tired = tried >= triesOf(last.step);
  // A switchover takes back what the leader has yielded: its end is then `abandon`.
  const takenBack = kind === 'switchover' && (last.step === 'claim' || last.step === 'yield');
  switch (`${last.step} ${outcome}`) {
    case 'verify verified':
      return { kind: 'done' };
    case 'elect none':
      return failed('NO_CANDIDATE', 'no replica may be promoted');
    case 'repoint stale':
      return failed('PLAN_STALE', 'the new leader is in place, but somebody else has changed the DNS record');
    case 'abandon abandoned':
      return failed('FAILOVER_REFUSED', `it was taken back, and the old leader leads: ${reasonIn(steps)}`);
    case 'verify unverified':
      return tired ? failed('NOT_LEADER', `the new leader is not verified: ${why}`) : undefined;
    case 'dns pending':
      return tired
        ? failed('DNS_THROTTLED', 'not all servers of Route 53 answer with the new leader')
        : undefined;
    case 'fence unproven':
    case 'drain draining':
      return tired ? failed('FAILOVER_REFUSED', `${last.step} did not end`) : undefined;
    case 'claim withheld':
      return tired && !takenBack ? failed('FAILOVER_REFUSED', String(why)) : undefined;
  }
  if (outcome === 'superseded' && !takenBack) {
    return failed('PLAN_STALE', `another run was first: epoch ${epoch}, leader ${leader}`);
  }
  if (outcome === 'refused' && (!takenBack || stopped === false)) {
    return failed(code as ErrorCode, String(why));
  }
  return undefined;
}

function triesOf(step: string): number {
  return step in WAITING_TRIES ? WAITING_TRIES[step as keyof typeof WAITING_TRIES] : Number.POSITIVE_INFINITY;
}

function failed(code: ErrorCode, why: string): RunEnd & { readonly kind: 'failed' } {
  return { kind: 'failed', code, why };
}

function outcomeOf({ outcome }: Step): unknown {
  return (outcome as { readonly outcome?: unknown }).outcome;
}

/** Why a run was given up, by the newest step that said so. */
function reasonIn(steps: readonly Step[]): string {
  const said = steps.map(({ outcome }) => (outcome as { readonly why?: unknown }).why);
  return String(said.findLast((why) => why !== undefined) ?? 'see understudy history');
}
