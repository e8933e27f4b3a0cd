import { describe, expect, test } from 'vitest';
import { type PlanRequest, type PlanRules, planOf } from '#lib/domain/control/plan.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import type { RegionSurvey, Survey } from '#lib/domain/control/survey.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import {
  AP,
  acceptorOf,
  alarmAt,
  E1,
  E2,
  EU,
  headAt,
  healthy,
  LEADING,
  lost,
  NOW,
  surveyOf,
  US,
  voting,
} from './surveys.ts';

const RULES: PlanRules = {
  profile: PROFILES.balanced,
  priorityOf: () => 0,
  noFailover: () => false,
  resources: {
    group: 'orders',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
    logTable: 'log',
    controlTable: 'control',
    buckets: { [EU]: 'b-eu', [US]: 'b-us', [AP]: 'b-ap' },
    record: { zoneId: 'Z1', name: 'orders.example.com', ttlSeconds: 5 },
  },
};
const DNS = { name: 'orders.example.com', leader: { epoch: E2, target: 'eu.example.com' } };
const failover = (survey: Survey, request: Partial<PlanRequest> = {}, rules: Partial<PlanRules> = {}) =>
  planOf({ dns: DNS, ...survey }, { kind: 'failover', force: false, ...request }, { ...RULES, ...rules });
const switchover = (survey: Survey, request: Partial<PlanRequest> = {}) =>
  failover(survey, { kind: 'switchover', asked: US, ...request });
const codes = ({ refusals }: ReturnType<typeof planOf>) => refusals.map(({ code }) => code);

/** Voted against the leader, and holds so much of the log. */
const ahead = (region: typeof EU, lsn: number, given: Partial<RegionSurvey> = {}): RegionSurvey => ({
  ...voting(region),
  head: headAt(lsn),
  applied: { lsn: parseLsn(lsn), totalBytes: 0n, commitMs: NOW - 1_000 },
  ...given,
});
const LOST = surveyOf({ eu: lost(EU), us: ahead(US, 95), ap: ahead(AP, 90) });

describe('the plan of a failover', () => {
  test('names the replica that is furthest ahead, where it would run, and that nothing refuses it', () => {
    const plan = failover(LOST);
    expect(plan).toMatchObject({ epoch: 2, from: EU, winner: US, startIn: US, pullFrom: [], refusals: [] });
    expect(plan.candidates.map(({ region, eligible }) => [region, eligible])).toEqual([
      [US, true],
      [AP, true],
    ]);
  });

  test('says that nobody can tell the loss where the leader goes on without a lease; a switchover loses nothing', () => {
    const unknown = { records: undefined, ms: undefined };
    expect(failover(LOST, {}, { continues: true })).toMatchObject({ mayDiverge: true, rpo: unknown });
    expect(failover(LOST)).toMatchObject({ mayDiverge: false, rpo: { ms: expect.any(Number) } });
    const planned = failover(surveyOf(), { kind: 'switchover', asked: US }, { continues: true });
    expect(planned).toMatchObject({ mayDiverge: false, rpo: { records: 0, ms: 0 } });
  });

  test('passes over a replica whose store could not lead, and says why', () => {
    const unfit = 'SCHEMA_DIFFERS: table orders has the key (id S), not that of its group (pk S)';
    const plan = failover(surveyOf({ eu: lost(EU), us: ahead(US, 95, { unfit }), ap: ahead(AP, 90) }));
    expect(plan).toMatchObject({ winner: AP, pullFrom: [US] });
    expect(plan.candidates[0]).toMatchObject({ eligible: false, why: `its store could not lead: ${unfit}` });
  });

  test('does not count on a Region that has not heard of the newest leader', () => {
    const deaf = { epoch: E1, leader: AP, attached: E1 };
    expect(
      failover(surveyOf({ eu: lost(EU), us: ahead(US, 95, { role: deaf }), ap: ahead(AP, 90) })).winner,
    ).toBe(AP);
  });

  test('counts on the vote of a witness, and neither elects it nor asks it for data', () => {
    const vote = acceptorOf(LEADING, { vote: E2 });
    const witness: RegionSurvey = { region: AP, witness: true, roundTripMs: 80, acceptor: vote };
    const plan = failover(surveyOf({ eu: lost(EU), us: ahead(US, 95), ap: witness }));
    expect(plan).toMatchObject({ winner: US, startIn: US, refusals: [] });
    expect(plan.candidates.map(({ region }) => region)).toEqual([US]);
    const asked = plan.calls.filter(({ region }) => region === AP);
    expect(new Set(asked.map(({ target }) => target))).toEqual(new Set(['control/orders#acceptor']));
    const alone = failover(surveyOf({ eu: lost(EU), us: lost(US), ap: witness }));
    expect(alone.startIn).toBeUndefined();
  });

  test('never runs at the leader, even if nobody else may be promoted', () => {
    const none = { noFailover: (region: typeof EU) => region !== EU };
    expect(failover(surveyOf({ us: voting(US), ap: voting(AP) }), {}, none)).toMatchObject({
      winner: EU,
      startIn: US,
    });
  });

  test('reckons the loss from the last end of the log that a survivor heard of, never as zero', () => {
    const { rpo } = failover(LOST);
    // 5 that were known, and what the applications may have drawn beyond; in time, the clocks' margin on top.
    expect(rpo).toEqual({ records: 5 + 180, ms: 6_000 + PROFILES.balanced.marginMs });
    const deaf = acceptorOf(LEADING, { vote: E2 });
    const { leaderEnd: _, ...unheard } = deaf;
    const plan = failover(
      surveyOf({
        eu: lost(EU),
        us: ahead(US, 95, { acceptor: unheard }),
        ap: ahead(AP, 90, { acceptor: unheard }),
      }),
    );
    expect(plan.rpo.records).toBeUndefined();
  });

  test('does not count on what only the leader holds', () => {
    const all = surveyOf({
      eu: healthy(EU, LEADING, { head: headAt(200) }),
      us: ahead(US, 95),
      ap: ahead(AP, 90),
    });
    expect(failover(all).rpo.records).toBeGreaterThan(0);
    expect(failover(all).pullFrom).toEqual([EU]);
  });

  test('predicts each phase: detection by the profile only while the leader is not voted out', () => {
    const { rto } = failover(LOST);
    expect(rto.phases.map(({ name }) => name)).toEqual([
      'detect',
      'claim',
      'fence',
      'elect',
      'drain',
      'promote',
      'repoint',
    ]);
    expect(rto.phases[0]).toMatchObject({ ms: 0 });
    expect(rto.ms).toBe(rto.phases.reduce((sum, { ms }) => sum + ms, 0));
    const { rto: undetected } = failover(surveyOf());
    expect(undetected.phases[0]).toMatchObject({ ms: 11_000 + 4_000 + 1_000 });
    const behind = surveyOf({
      eu: lost(EU),
      us: ahead(US, 95, { applied: { lsn: parseLsn(45), totalBytes: 0n, commitMs: NOW - 1_000 } }),
      ap: ahead(AP, 90),
    });
    expect(failover(behind).rto.phases.find(({ name }) => name === 'drain')).toMatchObject({ ms: 80 + 50 });
  });

  test('does not count on a replica whose lag alarm is on, unless there is no other', () => {
    const alarms = [alarmAt('durable-lag')];
    const us = ahead(US, 95, { alarms });
    const plan = failover(surveyOf({ eu: lost(EU), us, ap: ahead(AP, 90) }));
    expect(plan).toMatchObject({ winner: AP, pullFrom: [US] });
    expect(plan.candidates.find(({ region }) => region === US)?.why).toBe('the alarm durable-lag is on');
    const all = surveyOf({ eu: lost(EU), us, ap: ahead(AP, 90, { alarms }) });
    expect(failover(all)).toMatchObject({ winner: US, refusals: [] });
    const unread = ahead(US, 95, { alarms: { error: 'throttled' } });
    expect(failover(surveyOf({ eu: lost(EU), us: unread, ap: ahead(AP, 90) })).winner).toBe(US);
  });

  test('lists every call with its Region', () => {
    const { calls } = failover(LOST);
    const at = (step: string, service: string) =>
      calls.filter((call) => call.step === step && call.service === service).map(({ region }) => region);
    expect(at('start', 'Step Functions')).toEqual([US]);
    expect(at('fence', 'DynamoDB')).toEqual([EU, US, AP]);
    expect(new Set(at('repoint', 'Route 53'))).toEqual(new Set(['us-east-1']));
    expect(calls.every(({ region, action, why }) => region !== '' && action !== '' && why !== '')).toBe(true);
  });

  test('calls nothing of Route 53 where health checks move the record, and counts on their interval', () => {
    const record = { ...RULES.resources.record!, flip: 'data-plane' as const };
    const rules = { resources: { ...RULES.resources, record } };
    // What its name servers answer with, or that they do not answer, refuses nothing: nothing is asked of them.
    for (const dns of [
      { name: record.name, regions: [EU] },
      { name: record.name, error: 'no name servers' },
    ]) {
      const plan = failover({ ...LOST, dns }, {}, rules);
      expect(plan.calls.map(({ service }) => service)).not.toContain('Route 53');
      expect(plan.rto.phases.at(-1)).toMatchObject({ name: 'repoint', ms: 10_000 + 5_000 });
      expect(plan.refusals).toEqual([]);
    }
  });

  test('says that a leader which is alive would not be replaced', () => {
    const plan = failover(surveyOf());
    expect(plan.refusals).toMatchObject([{ code: 'FAILOVER_REFUSED', stops: 'operator' }]);
    expect(plan.refusals[0]!.why).toContain('0 of the 2 votes');
  });

  test('takes pause, cooldown and approval for what holds up automatic failovers alone', () => {
    const { refusals } = failover(LOST, {}, { guarded: 'ann has paused it', profile: PROFILES.cautious });
    expect(refusals.map(({ stops }) => stops)).toEqual(['automatic', 'automatic']);
  });

  test('has no candidate where all are being copied, are not attached, or are not to lead', () => {
    const detached = { epoch: E2, leader: EU, attached: E1 };
    const none = surveyOf({
      eu: lost(EU),
      us: ahead(US, 95, { copying: true }),
      ap: ahead(AP, 90, { role: detached }),
    });
    const plan = failover(none);
    expect(plan.winner).toBeUndefined();
    expect(codes(plan)).toEqual(['NO_CANDIDATE']);
    expect(plan.candidates.map(({ why }) => why)).toEqual([
      expect.stringContaining('not whole yet'),
      expect.stringContaining('not re-attached'),
    ]);
    const forced = failover(none, { force: true });
    expect(forced.winner).toBe(US);
    expect(forced.candidates[0]!.why).toContain('forced, although');
    expect(failover(LOST, {}, { noFailover: () => true }).winner).toBeUndefined();
  });

  test('is refused without a majority, without a leader, and with two Regions', () => {
    expect(codes(failover(surveyOf({ eu: lost(EU), us: lost(US) })))).toContain('REGISTER_UNAVAILABLE');
    expect(codes(failover({ atMs: NOW, regions: [EU, US, AP].map(lost) }))).toEqual(['REGISTER_UNAVAILABLE']);
    const empty = [EU, US, AP].map((region) => ({ region, acceptor: { promised: '' as never } }));
    expect(codes(failover({ atMs: NOW, regions: empty }))).toEqual(['GROUP_NOT_FOUNDED']);
    expect(codes(failover({ atMs: NOW, regions: [healthy(EU), healthy(US)] }))).toContain('REGIONS_TOO_FEW');
  });

  test('says that DNS stands in the way where a person changed it, or it is ahead', () => {
    const foreign = { name: DNS.name, error: 'DNS_RECORD_FOREIGN: changed' };
    expect(codes(failover({ ...LOST, dns: foreign }))).toEqual(['DNS_RECORD_FOREIGN']);
    const later = { name: DNS.name, leader: { epoch: (E2 + 1) as typeof E2, target: 'x' } };
    expect(codes(failover({ ...LOST, dns: later }))).toEqual(['PLAN_STALE']);
  });
});

describe('the plan of a switchover', () => {
  test('runs at the leader, loses nothing, and begins with its consent', () => {
    const plan = switchover(surveyOf());
    expect(plan).toMatchObject({ winner: US, startIn: EU, rpo: { records: 0, ms: 0 }, refusals: [] });
    expect(plan.rto.phases[0]!.name).toBe('yield');
    expect(plan.calls.some(({ step }) => step === 'yield')).toBe(true);
    // The successor's log gets the last writes from the leader's.
    const moved = plan.calls.filter(({ step }) => step === 'drain').map(({ region }) => region);
    expect(new Set(moved)).toEqual(new Set([EU, US]));
  });

  test('proves the last writes by the shards of a table’s stream, of a database by its slot', () => {
    const engine = { kind: 'postgres', databases: {}, publication: 'p', slot: 's' } as const;
    const resources = { ...RULES.resources, engine };
    const yields = (rules: Partial<PlanRules> = {}) =>
      failover(surveyOf(), { kind: 'switchover', asked: US }, rules)
        .calls.filter(({ step }) => step === 'yield')
        .map(({ service, action, target }) => `${service} ${action} ${target}`);
    const consent = 'DynamoDB UpdateItem control/orders#acceptor';
    const logged = 'DynamoDB GetItem log/head';
    expect(yields()).toEqual([
      consent,
      'DynamoDB DescribeTable, DescribeStream orders',
      'DynamoDB BatchWriteItem orders',
      logged,
    ]);
    expect(yields({ resources })).toEqual([consent, 'PostgreSQL INSERT understudy.heartbeat', logged]);
  });

  test('asks every acceptor of an MRSC register where it runs, and takes its time for the looks across Regions', () => {
    const register = { kind: 'mrsc', table: 'register' } as const;
    const resources = { ...RULES.resources, register };
    const [near, across] = [{}, { resources }].map((rules) =>
      failover(surveyOf(), { kind: 'switchover', asked: US }, rules),
    );
    const asked = across!.calls.filter(({ target }) => target.includes('#acceptor'));
    expect(new Set(asked.map(({ region }) => region))).toEqual(new Set([EU]));
    expect(new Set(asked.map(({ target }) => target))).toEqual(
      new Set([EU, US, AP].map((each) => `register/orders#acceptor#${each}`)),
    );
    expect(asked).toHaveLength(near!.calls.filter(({ target }) => target.includes('#acceptor')).length);
    expect(across!.rto.ms! - near!.rto.ms!).toBe(335 - 90);
  });

  test('is refused where the leader is lost, leads already, or the successor is not eligible', () => {
    expect(codes(switchover(surveyOf({ eu: lost(EU) })))).toEqual(['REGION_UNREACHABLE']);
    expect(codes(switchover(surveyOf(), { asked: EU }))).toContain('CONFIG_INVALID');
    expect(codes(switchover(surveyOf({ us: lost(US) })))).toEqual(['NO_CANDIDATE']);
  });
});
