import { bundlesOf, type EngineKind, FUNCTIONS, type FunctionName } from '#lib/constructs/names.ts';
import { UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import type { MetricName } from '#lib/domain/metrics.ts';

/** What an alarm looks at: a figure that the Region sends itself, or one that AWS keeps of a resource. */
type Watched =
  | { readonly of: 'region'; readonly name: MetricName }
  | { readonly of: 'function'; readonly name: 'Errors' | 'IteratorAge'; readonly fn: FunctionName }
  | { readonly of: 'failure-queue' | 'drill-queue'; readonly name: 'ApproximateNumberOfMessagesVisible' }
  | { readonly of: 'workflow'; readonly name: 'ExecutionsFailed' };

/** A Region with data, or one that votes alone. */
type Kind = 'replica' | 'witness';

export type AlarmSpec = {
  readonly name: string;
  readonly where: readonly Kind[];
  /** The groups that have it, where not all do. */
  readonly engine?: EngineKind;
  readonly metric: Watched;
  readonly statistic: 'Maximum' | 'Minimum' | 'Sum';
  /** The figure breaches above this, or below it. `lag`: the lag at which a replica is no candidate any more. */
  readonly threshold: { readonly above: number | 'lag' } | { readonly below: number };
  /** Minutes out of five that have to breach; without it, one alone does. */
  readonly of5?: number;
  /**
   * Whether a missing figure is a breach: so for what the Region sends at all times, its lag or, as a witness, that it is
   * there; by that a dead sentinel is missed. What only the leader sends is missing anywhere else, and what counts
   * incidents is missing while there are none.
   */
  readonly missing: 'breaching' | 'notBreaching';
  /** page: the group is not safe, or soon won't be. ticket: see to it in working hours. */
  readonly severity: 'page' | 'ticket';
  readonly text: string;
  /** Heading of docs/RUNBOOK.md, as an anchor. */
  readonly runbook: string;
};

/** Of an alarm of replicas, whose runbook section bears its own name. */
function spec(
  name: string,
  rest: Omit<AlarmSpec, 'name' | 'where' | 'runbook'> & Partial<Pick<AlarmSpec, 'where' | 'runbook'>>,
): AlarmSpec {
  return { name, where: ['replica'], runbook: `alarm-${name}`, ...rest };
}

function lag(name: string, metric: Watched, above: number | 'lag', text: string): AlarmSpec {
  const rest = { of5: 3, missing: 'breaching', severity: 'page' } as const;
  return spec(name, { metric, statistic: 'Maximum', threshold: { above }, text, ...rest });
}

/** Anything above none. */
function count(
  name: string,
  metric: Watched,
  severity: AlarmSpec['severity'],
  text: string,
  rest: Partial<Pick<AlarmSpec, 'engine' | 'of5' | 'runbook' | 'where'>> = {},
): AlarmSpec {
  const threshold = { above: 0 };
  return spec(name, {
    metric,
    statistic: 'Sum',
    threshold,
    missing: 'notBreaching',
    severity,
    text,
    ...rest,
  });
}

/** WAL that nobody has read yet: hours of a busy database, and a small part of its disk. */
const RETAINED_BYTES = 5 * 2 ** 30;

const EVERYWHERE: readonly Kind[] = ['replica', 'witness'];

const own = (name: MetricName): Watched => ({ of: 'region', name });

/** What is watched. Every replica of an engine has the same alarms, whoever leads. */
export const ALARMS: readonly AlarmSpec[] = [
  lag(
    'applied-lag',
    own('AppliedLagSeconds'),
    'lag',
    'The store here is too far behind the leader to take over, or nobody says how far.',
  ),
  lag(
    'durable-lag',
    own('DurableLagSeconds'),
    'lag',
    'The log here is too far behind the leader to take over, or nobody says how far.',
  ),
  {
    ...lag(
      'capture-age',
      { of: 'function', fn: 'capture', name: 'IteratorAge' },
      60_000,
      'Changes wait for more than a minute to be captured, or none are, heartbeats included.',
    ),
    engine: 'dynamodb',
  },
  // A slot is read by nobody but the function: its own figure, which the leader alone sends.
  spec('capture-age', {
    engine: 'postgres',
    metric: own('CaptureAgeSeconds'),
    statistic: 'Maximum',
    threshold: { above: 60 },
    of5: 3,
    missing: 'notBreaching',
    severity: 'page',
    text: 'Changes wait for more than a minute to be captured, or none are, heartbeats included.',
  }),
  spec('slot-retained', {
    engine: 'postgres',
    metric: own('SlotRetainedBytes'),
    statistic: 'Maximum',
    threshold: { above: RETAINED_BYTES },
    of5: 3,
    missing: 'notBreaching',
    severity: 'page',
    text: 'The database here keeps more than 5 GiB of WAL for the replication slot: its disk fills up, or the slot is lost.',
  }),
  count(
    'slot-lost',
    own('SlotsLost'),
    'page',
    'The replication slot here is gone or has lost changes that nobody had read: the database could not lead.',
    { engine: 'postgres', of5: 2, runbook: 'slot_lost' },
  ),
  spec('lease-at-risk', {
    metric: own('LeaseLeftPercent'),
    statistic: 'Minimum',
    threshold: { below: 40 },
    of5: 3,
    missing: 'notBreaching',
    severity: 'page',
    text: 'The leader here keeps renewing its lease at the last moment, or has lost it.',
  }),
  spec('no-candidate', {
    metric: own('Candidates'),
    statistic: 'Maximum',
    threshold: { below: 1 },
    of5: 3,
    missing: 'notBreaching',
    severity: 'page',
    text: 'If the leader here were lost now, no replica could take over.',
  }),
  spec('witness-silent', {
    where: ['witness'],
    metric: own('WitnessUp'),
    statistic: 'Sum',
    threshold: { below: 1 },
    of5: 3,
    missing: 'breaching',
    severity: 'page',
    text: 'The witness here does not look after the group: it neither lends a lease nor votes.',
  }),
  count(
    'run-failed',
    { of: 'workflow', name: 'ExecutionsFailed' },
    'page',
    'A failover, a switchover or a drill that was run from here did not reach its end.',
  ),
  count(
    'rejected-records',
    own('RejectedRecords'),
    'page',
    'A change could not be logged: replicas lack it until it is made again.',
    { runbook: 'capture_record_rejected' },
  ),
  {
    ...count(
      'failure-queue',
      { of: 'failure-queue', name: 'ApproximateNumberOfMessagesVisible' },
      'page',
      'The failure queue holds changes that nobody has looked at; it keeps them for 14 days.',
      { runbook: 'capture_record_rejected' },
    ),
    statistic: 'Maximum',
  },
  count(
    'votes',
    own('VotesInForce'),
    'ticket',
    'This Region has voted against the leader: it does not hear its beats, and cannot write there.',
    { of5: 2, where: EVERYWHERE },
  ),
  count(
    'late-canaries',
    own('CanariesLate'),
    'ticket',
    'The store of the leader here takes writes late, or not at all.',
    {
      of5: 2,
    },
  ),
  count(
    'divergence',
    own('Divergences'),
    'ticket',
    'This Region had changes that the group has not. They are saved.',
  ),
  count(
    'behind-retention',
    own('BehindRetention'),
    'ticket',
    'A log no longer holds what a follower needs next: the follower takes a new snapshot.',
    { runbook: 'follower_behind_retention' },
  ),
  ...FUNCTIONS.map((fn) =>
    count(
      `${fn}-errors`,
      { of: 'function', fn, name: 'Errors' },
      'ticket',
      `The function ${fn} keeps failing.`,
      {
        runbook: 'alarm-function-errors',
        where: fn === 'sentinel' ? EVERYWHERE : ['replica'],
        ...(!bundlesOf('postgres').includes(fn) && { engine: 'dynamodb' }),
        // Lambda tries again by itself: one failure alone is no news, but of what runs once a day.
        ...(fn !== 'retention' && { of5: 3 }),
      },
    ),
  ),
];

/**
 * Of a Region whose drills are scheduled: whatever keeps one from passing, be it that nobody was told of it, ends in its queue.
 * What leaves no message there has left a report.
 */
export const DRILL_FAILED: AlarmSpec = {
  ...count(
    'drill-failed',
    { of: 'drill-queue', name: 'ApproximateNumberOfMessagesVisible' },
    'ticket',
    'A scheduled drill did not pass, or left no evidence.',
    { runbook: 'drill_failed' },
  ),
  statistic: 'Maximum',
};

/** The composite alarm of all that is to be paged on. */
export const UNSAFE = {
  name: UNSAFE_ALARM,
  severity: 'page',
  text: 'The group is not safe here: something that is to be paged on is in alarm.',
  runbook: 'alarm-unsafe',
} as const;

/** The alarms of a Region. */
export function alarmsIn(kind: Kind, engine: EngineKind): readonly AlarmSpec[] {
  return ALARMS.filter((each) => each.where.includes(kind) && (each.engine ?? engine) === engine);
}

/** What an alarm says to whoever gets it: how bad it is, what it means, and where to read on. */
export function describeAlarm({
  severity,
  text,
  runbook,
}: Pick<AlarmSpec, 'severity' | 'text' | 'runbook'>): string {
  return `[${severity}] ${text} See docs/RUNBOOK.md#${runbook}`;
}
