import { majorityOf } from '#lib/domain/control/acceptor.ts';
import { lookTimesOf } from '#lib/domain/control/application-lease.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import { HEALTH_CHECK } from '#lib/domain/control/flip-set.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import type { RegisterConfig } from '#lib/domain/control/register-config.ts';
import type { Survey } from '#lib/domain/control/survey.ts';
import type { RegionId } from '#lib/domain/ids.ts';

export type Phase = { readonly name: string; readonly ms: number; readonly why: string };

type Course = {
  readonly kind: 'failover' | 'switchover';
  readonly survey: Survey;
  readonly from: RegionId;
  readonly winner: RegionId;
  /** A majority has voted already. */
  readonly votedOut: boolean;
  readonly profile: Profile;
  readonly record?: RecordConfig;
  readonly register?: RegisterConfig;
};

/** What a lost Region costs in each step that asks all of them, ms. */
const PATIENCE_MS = 700;
/** Records a second that a store applies at least. */
const APPLY_PER_SECOND = 1_000;

/** Predicts each phase from the profile and from round trips as they were measured. None for no course. */
export function rtoOf([course]: readonly Course[]): {
  readonly ms: number | undefined;
  readonly phases: readonly Phase[];
} {
  const phases = course === undefined ? undefined : phasesOf(course);
  if (phases === undefined) return { ms: undefined, phases: [] };
  return { ms: phases.reduce((sum, { ms }) => sum + ms, 0), phases };
}

/** Undefined if too few Regions answered to know any round trip. */
function phasesOf(course: Course): readonly Phase[] | undefined {
  const { from, kind, profile, record, survey, votedOut, winner } = course;
  const trips = survey.regions.flatMap(({ roundTripMs }) => roundTripMs ?? []).toSorted((a, b) => a - b);
  const trip = trips[majorityOf(survey.regions.length) - 1];
  if (trip === undefined) return undefined;
  const slowest = trips.at(-1)!;
  const head = survey.regions.find(({ region }) => region === winner)?.head;
  const applied = survey.regions.find(({ region }) => region === winner)?.applied;
  const left = winner === from ? 0 : Number((head?.lastLsn ?? 0n) - (applied?.lsn ?? 0n));
  const step = (name: string, ms: number, why: string): Phase => ({ name, ms: Math.ceil(ms), why });
  const { leaseMs, lookMs, marginMs } = profile;
  const repoint = record === undefined ? [] : [repointOf(record, step)];
  if (kind === 'switchover') {
    return [
      step(
        'yield',
        lookTimesOf(course.register).handoverMs + trip,
        'writes under way end and are logged; beside it, the claim',
      ),
      step('promote', 2 * trip, 'the last records and the register to the successor, first beat'),
      ...repoint,
    ];
  }
  return [
    votedOut
      ? step('detect', 0, 'a majority has voted already')
      : step('detect', leaseMs + marginMs + lookMs, `lease, margin and look of profile ${profile.name}`),
    step('claim', 2 * trip, 'two round trips to a majority'),
    step('fence', trip + Math.max(slowest, PATIENCE_MS), 'seals every log; a lost Region is given up on'),
    step('elect', trip + PATIENCE_MS, 'reads every position'),
    step(
      'drain',
      trip + (Math.max(0, left) / APPLY_PER_SECOND) * 1000,
      `records to apply: ${Math.max(0, left)}`,
    ),
    step('promote', 4 * trip, 'register, role, first beat'),
    ...repoint,
  ];
}

function repointOf(
  { flip, ttlSeconds }: RecordConfig,
  step: (name: string, ms: number, why: string) => Phase,
) {
  if (flip === 'data-plane') {
    const { requestInterval } = HEALTH_CHECK;
    const why = `health checks ask every ${requestInterval} s, then TTL of the record; Route 53 itself may take some seconds more`;
    return step('repoint', (requestInterval + ttlSeconds) * 1000, why);
  }
  return step('repoint', ttlSeconds * 1000, 'TTL of the record; Route 53 itself may take up to 60 s more');
}
