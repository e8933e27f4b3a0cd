import { describe, expect, test } from 'vitest';
import { PROFILES } from '#lib/domain/control/profile.ts';
import type { RegionSurvey } from '#lib/domain/control/survey.ts';
import { type Diagnosis, diagnose, type InspectedTable, type RegionFacts } from '#lib/domain/doctor.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { AP, alarmAt, E1, E2, EU, healthy, LEADING, lost, NOW, surveyOf, US } from './control/surveys.ts';

const GROUP = {
  ...parseGroup({
    group: 'orders',
    engine: { kind: 'dynamodb', table: 'orders-data', key: [{ name: 'pk', type: 'S' }] },
    regions: [EU, US, AP].map((name) => ({ name })),
  }),
  failover: {
    profile: 'balanced' as const,
    record: { zoneId: 'Z1', name: 'orders.example.com', ttlSeconds: 10 },
    targets: { [EU]: 'eu.example.com', [US]: 'us.example.com', [AP]: 'ap.example.com' },
  },
};

function table(key: InspectedTable['key'], streamView?: string): InspectedTable {
  return {
    key,
    replicas: [],
    deletionProtection: true,
    pointInTimeRecovery: true,
    ...(streamView && { streamView }),
  };
}

const LOG = table(
  [
    { name: 'lane', type: 'S' },
    { name: 'at', type: 'S' },
  ],
  'KEYS_ONLY',
);
const CONTROL = table([{ name: 'id', type: 'S' }]);
const DATA = table([{ name: 'pk', type: 'S' }], 'NEW_AND_OLD_IMAGES');
const BUCKET = { versioned: false, refusesPlainHttp: true };
const OK = { ...alarmAt('applied-lag'), state: 'ok' as const };
const DNS = { name: 'orders.example.com', leader: { epoch: E2, target: 'eu.example.com' } };

/** All checks but those that are well, of a group that is well but for what is given of US. */
function troubles(given: {
  readonly facts?: Partial<RegionFacts>;
  readonly us?: RegionSurvey;
  readonly survey?: Partial<ReturnType<typeof surveyOf>>;
}): readonly Diagnosis[] {
  const facts = [EU, US, AP].map(
    (region): RegionFacts => ({
      region,
      control: { known: CONTROL },
      data: { known: DATA },
      log: { known: LOG },
      bucket: { known: BUCKET },
      workflow: { known: true },
      clockAheadMs: 400,
      ...(region === US && given.facts),
    }),
  );
  const well = (region: typeof EU) => healthy(region, LEADING, { alarms: [OK] });
  const regions = { eu: well(EU), us: given.us ?? well(US), ap: well(AP) };
  const survey = surveyOf(regions, LEADING, { dns: DNS, ...given.survey });
  const all = diagnose({
    group: GROUP,
    profile: PROFILES.balanced,
    survey,
    facts,
    alarmsOf: () => ['applied-lag'],
  });
  return all.filter(({ verdict }) => verdict !== 'ok');
}

const us = (rest: Partial<RegionSurvey>) => healthy(US, LEADING, { alarms: [OK], ...rest });

describe('the doctor', () => {
  test('finds nothing where all is well', () => {
    expect(troubles({})).toEqual([]);
  });

  test.each<readonly [string, string, Partial<RegionFacts>, Diagnosis['verdict'], RegExp]>([
    ['a table that is gone', 'log table', { log: { known: undefined } }, 'failed', /does not exist/],
    [
      'a table with another key',
      'control table',
      { control: { known: table(LOG.key) } },
      'failed',
      /lane \(S\), at \(S\), not id/,
    ],
    [
      'a log without its stream',
      'log table',
      { log: { known: table(LOG.key) } },
      'failed',
      /nothing, not KEYS_ONLY/,
    ],
    [
      'a data table without images',
      'data table',
      { data: { known: table(DATA.key, 'KEYS_ONLY') } },
      'failed',
      /not new and old images/,
    ],
    [
      'a table that may be deleted',
      'data table',
      { data: { known: { ...DATA, deletionProtection: false } } },
      'warning',
      /deletion/,
    ],
    [
      'a table that can not be restored',
      'control table',
      { control: { known: { ...CONTROL, pointInTimeRecovery: false } } },
      'warning',
      /point-in-time/,
    ],
    [
      'a table that can not be read',
      'data table',
      { data: { error: 'AccessDenied' } },
      'unknown',
      /AccessDenied/,
    ],
    [
      'a table that the leader has dropped',
      'stray tables',
      { strays: { known: [{ table: 'public.t', what: 'the leader has dropped it', fix: 'DROP TABLE t;' }] } },
      'warning',
      /public\.t: the leader has dropped it/,
    ],
    ['a bucket that is gone', 'log bucket', { bucket: { known: undefined } }, 'failed', /does not exist/],
    [
      'a bucket that takes plain HTTP',
      'log bucket',
      { bucket: { known: { ...BUCKET, refusesPlainHttp: false } } },
      'warning',
      /plain HTTP/,
    ],
    [
      'a bucket that keeps versions',
      'log bucket',
      { bucket: { known: { ...BUCKET, versioned: true } } },
      'warning',
      /versions/,
    ],
    [
      'a workflow that is gone',
      'failover workflow',
      { workflow: { known: false } },
      'failed',
      /does not exist/,
    ],
    ['a clock that is off', 'clock', { clockAheadMs: -7_000 }, 'warning', /7 s behind/],
  ])('finds %s, in its Region, with a cure', (_, check, facts, verdict, what) => {
    const found = troubles({ facts });
    expect(found).toMatchObject([{ check, region: US, verdict, fix: expect.stringMatching(/\w/) }]);
    expect(found[0]!.what).toMatch(what);
  });

  test.each<readonly [string, string, RegionSurvey, Diagnosis['verdict'], RegExp]>([
    ['does not answer', 'answers', { ...lost(US), alarms: [OK] }, 'failed', /no answer/],
    [
      'goes by another leader',
      'role',
      us({ role: { epoch: E1, leader: AP, attached: E1 } }),
      'failed',
      /epoch 1; the group by/,
    ],
    [
      'does not follow yet',
      'role',
      us({ role: { epoch: E2, leader: EU, attached: E1 } }),
      'warning',
      /follow/,
    ],
    ['lacks an alarm', 'alarms', us({ alarms: [] }), 'failed', /no alarm applied-lag/],
    ['has an alarm on', 'alarms', us({ alarms: [alarmAt('applied-lag')] }), 'warning', /On: applied-lag/],
    [
      'has an alarm without figures for long',
      'alarms',
      us({ alarms: [{ ...OK, state: 'unknown', sinceMs: NOW - 3_600_000 }] }),
      'warning',
      /figures/,
    ],
    ['does not tell its alarms', 'alarms', us({ alarms: { error: 'throttled' } }), 'unknown', /throttled/],
    [
      'is too far away for the profile',
      'round trip',
      us({ roundTripMs: 2_500 }),
      'warning',
      /2500 ms; profile balanced/,
    ],
  ])('finds a Region that %s', (_, check, region, verdict, what) => {
    const found = troubles({ us: region });
    expect(found).toMatchObject([{ check, region: US, verdict }]);
    expect(found[0]!.what).toMatch(what);
  });

  test('takes an alarm that is new for no trouble', () => {
    expect(troubles({ us: us({ alarms: [{ ...OK, state: 'unknown', sinceMs: NOW - 60_000 }] }) })).toEqual(
      [],
    );
  });

  test.each([
    ['another epoch', { leader: { epoch: E1, target: 'eu.example.com' } }],
    ['another target', { leader: { epoch: E2, target: 'us.example.com' } }],
    ['nothing', {}],
    ['a Region that does not lead, by its health checks', { regions: [US] }],
    ['the leader and another Region, by its health checks', { regions: [EU, US] }],
  ])('finds a DNS record that names %s', (_, dns) => {
    const found = troubles({ survey: { dns: { name: 'orders.example.com', ...dns } } });
    expect(found).toMatchObject([{ check: 'DNS record', region: 'group', verdict: 'failed' }]);
  });
});
