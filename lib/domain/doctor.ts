import type { AlarmState } from '#lib/domain/alarms.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import { type RegionSurvey, registerOf, type Survey } from '#lib/domain/control/survey.ts';
import { findingsOfTable, type TableFacts } from '#lib/domain/deploy-check.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig, KeyAttribute } from '#lib/domain/topology.ts';

/** What was asked for, or why nobody knows. */
export type Fact<T> = { readonly known: T } | { readonly error: string };

export type InspectedTable = TableFacts & {
  readonly deletionProtection: boolean;
  /** Absent where the server does not say. */
  readonly pointInTimeRecovery?: boolean | undefined;
};
export type InspectedBucket = { readonly versioned: boolean; readonly refusesPlainHttp: boolean };

/** What there is in a Region. What was not asked for is absent; what does not exist is undefined. */
export type RegionFacts = {
  readonly region: RegionId;
  readonly control: Fact<InspectedTable | undefined>;
  readonly data?: Fact<InspectedTable | undefined>;
  readonly log?: Fact<InspectedTable | undefined>;
  readonly bucket?: Fact<InspectedBucket | undefined>;
  /** Of a follower's database: tables that its leader no longer keeps up, and what to do about each. */
  readonly strays?: Fact<readonly { readonly table: string; readonly what: string; readonly fix: string }[]>;
  /** Is the failover workflow there? */
  readonly workflow?: Fact<boolean>;
  /** How far the Region's clock is ahead of the observer's, ms; known to a second. */
  readonly clockAheadMs?: number;
};

export type Diagnosis = {
  readonly check: string;
  readonly region: RegionId | 'group';
  /** `unknown`: it could not be checked. */
  readonly verdict: 'ok' | 'warning' | 'failed' | 'unknown';
  /** Absent where all is well. */
  readonly what?: string;
  readonly fix?: string;
};
type Trouble = Omit<Diagnosis, 'check' | 'region'>;

/** An alarm that has had no figures for longer than this is of no use, ms. */
const UNKNOWN_MS = 15 * 60_000;
/** A clock that is off by more makes commit times, and thus lag, misleading, ms. */
const CLOCK_MS = 5_000;
const AGAIN = 'Deploy the group again.';

const LOG_KEY: readonly KeyAttribute[] = [
  { name: 'lane', type: 'S' },
  { name: 'at', type: 'S' },
];
const CONTROL_KEY: readonly KeyAttribute[] = [{ name: 'id', type: 'S' }];

/** What is well and what is not with a group as it is deployed and as it runs, each with its cure. */
export function diagnose(given: {
  readonly group: GroupConfig & { readonly failover: FailoverConfig };
  readonly profile: Profile;
  readonly survey: Survey;
  readonly facts: readonly RegionFacts[];
  /** The alarms that a Region should have. */
  readonly alarmsOf: (region: RegionId) => readonly string[];
}): readonly Diagnosis[] {
  const { alarmsOf, facts, group, profile, survey } = given;
  const found: Diagnosis[] = [];
  const check = (name: string, region: Diagnosis['region'], troubles: readonly Trouble[]) => {
    const all: readonly Trouble[] = troubles.length === 0 ? [{ verdict: 'ok' }] : troubles;
    found.push(...all.map((trouble) => ({ check: name, region, ...trouble })));
  };
  for (const each of facts) {
    const { region } = each;
    check('control table', region, tableOf(each.control, CONTROL_KEY, undefined));
    if (each.log) check('log table', region, tableOf(each.log, LOG_KEY, 'KEYS_ONLY'));
    if (each.data) check('data table', region, dataTableOf(group, region, each.data));
    if (each.bucket) check('log bucket', region, bucketOf(each.bucket));
    if (each.strays) check('stray tables', region, straysOf(each.strays));
    if (each.workflow) check('failover workflow', region, workflowOf(each.workflow));
    if (each.clockAheadMs !== undefined) check('clock', region, clockOf(each.clockAheadMs));
  }
  for (const each of survey.regions) {
    check('answers', each.region, answerOf(each));
    check('role', each.region, roleOf(survey, each));
    check('alarms', each.region, alarmsIn(survey, each, alarmsOf(each.region)));
    check('round trip', each.region, roundTripOf(each, profile));
  }
  check('DNS record', 'group', dnsOf(survey, group.failover));
  return found;
}

function failed(what: string, fix: string): Trouble {
  return { verdict: 'failed', what, fix };
}

function warning(what: string, fix: string): Trouble {
  return { verdict: 'warning', what, fix };
}

/** Troubles of what is known; that it is not, if so. */
function of<T>(fact: Fact<T>, troubles: (known: T) => readonly Trouble[]): readonly Trouble[] {
  if ('known' in fact) return troubles(fact.known);
  const fix = 'See whether the Region answers, and whether you may read this.';
  return [{ verdict: 'unknown', what: `It can't be read: ${fact.error}`, fix }];
}

function tableOf(
  fact: Fact<InspectedTable | undefined>,
  key: readonly KeyAttribute[],
  view: string | undefined,
): readonly Trouble[] {
  return of(fact, (table) => {
    if (table === undefined) return [failed('It does not exist.', AGAIN)];
    const troubles = [...protectionOf(table)];
    if (JSON.stringify(table.key) !== JSON.stringify(key)) {
      troubles.push(failed(`Its key is ${spelled(table.key)}, not ${spelled(key)}.`, AGAIN));
    }
    if (table.streamView !== view) {
      troubles.push(
        failed(`Its stream carries ${table.streamView ?? 'nothing'}, not ${view ?? 'nothing'}.`, AGAIN),
      );
    }
    return troubles;
  });
}

function dataTableOf(
  group: GroupConfig,
  region: RegionId,
  fact: Fact<InspectedTable | undefined>,
): readonly Trouble[] {
  return of(fact, (table) => [
    ...findingsOfTable(group, region, table).map(({ what, fix }) => failed(what, fix)),
    ...(table === undefined ? [] : protectionOf(table)),
  ]);
}

function protectionOf({ deletionProtection, pointInTimeRecovery }: InspectedTable): readonly Trouble[] {
  const troubles: Trouble[] = [];
  if (!deletionProtection) {
    troubles.push(warning('It is not protected from deletion.', 'Switch deletion protection on.'));
  }
  if (pointInTimeRecovery === false) {
    troubles.push(warning('It has no point-in-time recovery.', 'Switch point-in-time recovery on.'));
  }
  return troubles;
}

function spelled(key: readonly KeyAttribute[]): string {
  return key.map(({ name, type }) => `${name} (${type})`).join(', ');
}

function bucketOf(fact: Fact<InspectedBucket | undefined>): readonly Trouble[] {
  return of(fact, (bucket) => {
    if (bucket === undefined) return [failed('It does not exist.', AGAIN)];
    const troubles: Trouble[] = [];
    if (!bucket.refusesPlainHttp) {
      troubles.push(warning('Its policy does not refuse plain HTTP.', AGAIN));
    }
    if (bucket.versioned) {
      const what = 'It keeps versions: what retention deletes is still there, and billed.';
      troubles.push(warning(what, 'Suspend versioning, or let a lifecycle rule expire old versions.'));
    }
    return troubles;
  });
}

function straysOf(fact: NonNullable<RegionFacts['strays']>): readonly Trouble[] {
  return of(fact, (strays) =>
    strays.map(({ fix, table, what }) =>
      // What is still on its way may be in it.
      warning(`Table ${table}: ${what}.`, `Once understudy lag shows that it is where the leader is: ${fix}`),
    ),
  );
}

function workflowOf(fact: Fact<boolean>): readonly Trouble[] {
  const fix = `${AGAIN} Until then, this Region can start no failover.`;
  return of(fact, (there) => (there ? [] : [failed('It does not exist.', fix)]));
}

function clockOf(aheadMs: number): readonly Trouble[] {
  if (Math.abs(aheadMs) <= CLOCK_MS) return [];
  const what = `It is ${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's.`;
  return [warning(what, 'If all Regions say so, it is this machine: let NTP set its clock.')];
}

function answerOf({ error, region }: RegionSurvey): readonly Trouble[] {
  if (error === undefined) return [];
  return [
    failed(`${region} does not answer: ${error}`, 'See AWS Health, your credentials, and its endpoints.'),
  ];
}

/** Every replica must go by the leader that the register names, and follow it. */
function roleOf(survey: Survey, { error, role, witness }: RegionSurvey): readonly Trouble[] {
  const register = registerOf(survey)?.register;
  if (register === undefined) {
    return [failed('The group has no leader yet.', 'Name its first one: understudy found --leader REGION.')];
  }
  if (witness || error !== undefined || register.phase !== 'leading') return [];
  if (role === undefined) {
    return [
      failed('It has not been told who leads.', 'Run understudy found again, or wait for its sentinel.'),
    ];
  }
  if (role.epoch !== register.epoch || role.leader !== register.leader) {
    const what = `It goes by ${role.leader}, epoch ${role.epoch}; the group by ${register.leader}, epoch ${register.epoch}.`;
    return [
      failed(what, 'Its sentinel mends that in seconds. If it lasts, see the log group of sentinel there.'),
    ];
  }
  if (role.attached === role.epoch) return [];
  return [warning('It does not follow the leader yet.', 'That ends by itself: understudy reattach --wait.')];
}

function alarmsIn(
  { atMs }: Survey,
  { alarms = [] }: RegionSurvey,
  expected: readonly string[],
): readonly Trouble[] {
  const fact: Fact<readonly AlarmState[]> = 'error' in alarms ? alarms : { known: alarms };
  return of(fact, (known) => {
    const missing = expected.filter((name) => !known.some(({ alarm }) => alarm === name));
    const blind = known.filter(({ state, sinceMs }) => state === 'unknown' && atMs - sinceMs > UNKNOWN_MS);
    const on = known.filter(({ state }) => state === 'alarm');
    const troubles: Trouble[] = [];
    if (missing.length > 0) troubles.push(failed(`There is no alarm ${missing.join(', ')}.`, AGAIN));
    if (blind.length > 0) {
      const names = blind.map(({ alarm }) => alarm).join(', ');
      troubles.push(
        warning(`Without figures for long: ${names}.`, 'See whether the function sentinel runs there.'),
      );
    }
    if (on.length > 0) {
      const names = on.map(({ alarm }) => alarm).join(', ');
      troubles.push(warning(`On: ${names}.`, 'See understudy status.'));
    }
    return troubles;
  });
}

/** Measured from here, not from the leader: it can only be a hint. */
function roundTripOf(
  { roundTripMs }: RegionSurvey,
  { leaseMs, marginMs, name }: Profile,
): readonly Trouble[] {
  if (roundTripMs === undefined) return [];
  const most = Math.min(leaseMs / 4, marginMs / 2);
  if (roundTripMs <= most) return [];
  const what = `A request from here takes ${Math.round(roundTripMs)} ms; profile ${name} is made for at most ${most} ms.`;
  return [warning(what, 'If it takes that long from the leader too, use a slower profile.')];
}

function dnsOf(survey: Survey, { record, targets }: FailoverConfig): readonly Trouble[] {
  const { dns } = survey;
  if (record === undefined || dns === undefined) return [];
  const register = registerOf(survey)?.register;
  if ('error' in dns) {
    const next =
      record.flip === 'data-plane'
        ? 'See that every Region is deployed, and that this machine may ask the name servers of a public zone.'
        : 'See docs/RUNBOOK.md#dns_record_foreign.';
    return [failed(`${dns.name} can't be read: ${dns.error}`, next)];
  }
  if (register === undefined || register.phase !== 'leading') return [];
  if ('regions' in dns) {
    if (dns.regions.join() === register.leader) return [];
    const what = `${dns.name} names ${dns.regions.join(' or ')}; by its health checks it should name ${register.leader}.`;
    const next = `See the health check of ${register.leader} and the function leads there.`;
    return [failed(what, next)];
  }
  const target = targets[register.leader];
  if (dns.leader?.epoch === register.epoch && dns.leader.target === target) return [];
  const names = dns.leader ? `${dns.leader.target}, epoch ${dns.leader.epoch}` : 'nothing';
  const what = `${dns.name} names ${names}; it should name ${target}, epoch ${register.epoch}.`;
  return [failed(what, 'If no failover is under way, see docs/RUNBOOK.md#dns_record_foreign.')];
}
