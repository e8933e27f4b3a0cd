import { describe, expect, test } from 'vitest';
import { NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import { adviceOf } from '#lib/domain/control/advice.ts';
import type { Plan } from '#lib/domain/control/plan.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { Survey } from '#lib/domain/control/survey.ts';
import { advanceEpoch } from '#lib/domain/lsn.ts';
import {
  AP,
  acceptorOf,
  alarmAt,
  E1,
  E2,
  EU,
  healthy,
  LEADING,
  lost,
  NOW,
  surveyOf,
  US,
  voting,
} from './surveys.ts';

const profile = PROFILES.balanced;
const kinds = (survey: Survey, guarded?: string) =>
  adviceOf(survey, { profile, guarded }).map(({ kind }) => kind);
const first = (survey: Survey, guarded?: string) => adviceOf(survey, { profile, guarded })[0]!.text;

const FAILING: Register = {
  ...LEADING,
  epoch: advanceEpoch(E2),
  phase: 'failing-over',
  coordinator: US,
  run: 'orders-3-us-east-1-1',
};
const coordinated = (counter: number) => {
  const acceptor = acceptorOf(FAILING, { beat: { epoch: FAILING.epoch, counter, leaseUntilMs: 0 } });
  const [us, ap] = [US, AP].map((region) => healthy(region, FAILING, { acceptor }));
  return surveyOf({ eu: lost(EU), us: us!, ap: ap! }, FAILING);
};

describe('what to do next', () => {
  test('is nothing while the leader holds its lease and all Regions follow', () => {
    expect(kinds(surveyOf())).toEqual(['healthy']);
  });

  test('is to name a first leader where nobody has been', () => {
    const empty = [EU, US, AP].map((region) => ({ region, acceptor: { promised: '' as never } }));
    expect(first({ atMs: NOW, regions: empty })).toContain('understudy found --leader');
  });

  test('is to bring Regions back where no majority answers, whether or not the register is known', () => {
    expect(kinds(surveyOf({ eu: lost(EU), us: lost(US) }))[0]).toBe('unavailable');
    expect(kinds({ atMs: NOW, regions: [EU, US, AP].map(lost) })).toEqual(['unavailable']);
  });

  test('is to wait while a coordinator makes steps, and to begin anew once it has made none for long', () => {
    expect(kinds(coordinated(NOW - 1_000))[0]).toBe('in-progress');
    expect(kinds(coordinated(NOW - 3 * profile.takeoverMs))[0]).toBe('stuck');
    expect(first(coordinated(NOW - 3 * profile.takeoverMs))).toContain('understudy failover');
  });

  test('is to approve where a run waits for a person', () => {
    const us = healthy(US, LEADING, { approval: { run: 'orders-3-us-east-1-1', askedAtMs: NOW } });
    expect(first(surveyOf({ us }))).toContain('understudy approve');
  });

  test('is to wait once a majority has voted, unless a guard holds the failover', () => {
    const outvoted = surveyOf({ eu: lost(EU), us: voting(US), ap: voting(AP) });
    expect(kinds(outvoted)[0]).toBe('voted-out');
    expect(kinds(outvoted, 'ann has paused automatic failover: test')[0]).toBe('held');
    expect(first(outvoted, 'ann has paused automatic failover: test')).toContain('understudy failover');
  });

  test('is to look at the network where a minority has voted; a vote against an older epoch says nothing', () => {
    expect(kinds(surveyOf({ ap: voting(AP) }))).toEqual(['votes']);
    expect(kinds(surveyOf({ ap: voting(AP, E1) }))).toEqual(['healthy']);
  });

  test('is to look at the leader where it has no lease', () => {
    const acceptor = acceptorOf(LEADING, { beat: { epoch: E2, counter: 1, leaseUntilMs: NOW - 1 } });
    const each = (region: typeof EU) => healthy(region, LEADING, { acceptor });
    expect(kinds(surveyOf({ eu: each(EU), us: each(US), ap: each(AP) }))).toEqual(['no-lease']);
    expect(first(surveyOf({ eu: each(EU), us: each(US), ap: each(AP) }))).toContain('clients do not write');
    const beat = { epoch: E2, counter: 1, leaseUntilMs: 0, continues: true } as const;
    const going = (region: typeof EU) =>
      healthy(region, LEADING, { acceptor: acceptorOf(LEADING, { beat }) });
    const text = first(surveyOf({ eu: going(EU), us: going(US), ap: going(AP) }));
    expect(text).toMatch(/goes on writing .*may diverge/);
  });

  test('names a Region that does not answer, and one that does not follow yet with the reason', () => {
    expect(first(surveyOf({ ap: lost(AP) }))).toContain('ap-southeast-2 does not answer');
    const role = { epoch: E2, leader: EU, attached: E1, led: E1 };
    const us = healthy(US, LEADING, { role });
    expect(first(surveyOf({ us }))).toMatch(/us-east-1 does not follow yet: it led epoch 1/);
  });

  test('is to mend a store that could not lead', () => {
    const unfit = 'STREAM_MISSING: table orders has no stream';
    expect(first(surveyOf({ us: healthy(US, LEADING, { unfit }) }))).toMatch(
      /^us-east-1 could not lead.*STREAM_MISSING/,
    );
  });

  test('is to look at a divergence that is saved and not discarded', () => {
    const with_ = (divergence: object) =>
      kinds(surveyOf({ us: healthy(US, LEADING, { divergences: [divergence as never] }) }));
    expect(with_({ epoch: E1, changes: 3, discarded: false })).toEqual(['divergence']);
    expect(with_({ epoch: E1, changes: 3, discarded: true })).toEqual(['healthy']);
    expect(with_({ epoch: E1, discarded: false })).toEqual(['healthy']);
  });

  test('is to resume or to acknowledge while a guard is set', () => {
    const paused = { ...LEADING, paused: { by: 'ann', reason: 'maintenance' } };
    expect(first(surveyOf({}, paused))).toMatch(/ann .*maintenance.* understudy resume/);
    expect(first(surveyOf({}, { ...LEADING, cooldownUntilMs: NOW + 1 }))).toContain('understudy ack');
    expect(kinds(surveyOf({}, { ...LEADING, cooldownUntilMs: NOW }))).toEqual(['healthy']);
  });

  test('is to mend DNS where it names another epoch than the one in force, or cannot be read', () => {
    const name = 'orders.example.com';
    const dns = (epoch: typeof E1) => ({ name, leader: { epoch, target: 'a.example.com' } });
    expect(kinds(surveyOf({}, LEADING, { dns: dns(E2) }))).toEqual(['healthy']);
    expect(kinds(surveyOf({}, LEADING, { dns: dns(E1) }))).toEqual(['dns']);
    expect(kinds(surveyOf({}, LEADING, { dns: { name, error: 'foreign' } }))).toEqual(['dns']);
  });

  test('is to look at the health checks where they do not choose the leader alone', () => {
    const chosen = (...regions: readonly (typeof EU)[]) =>
      surveyOf({}, LEADING, { dns: { name: 'orders.example.com', regions } });
    expect(kinds(chosen(EU))).toEqual(['healthy']);
    expect(first(chosen(US))).toMatch(/names us-east-1, not eu-west-1, .* function leads/);
    expect(first(chosen(EU, US))).toContain('names eu-west-1 or us-east-1');
  });

  test('is to read on about each alarm that is on, but for the one that is on with any other', () => {
    const ok = { ...alarmAt('votes'), state: 'ok' as const };
    const us = healthy(US, LEADING, { alarms: [alarmAt('applied-lag'), alarmAt('unsafe'), ok] });
    expect(adviceOf(surveyOf({ us }), { profile })).toEqual([
      {
        kind: 'alarm',
        text: 'The alarm applied-lag is on in us-east-1. It is bad. See docs/RUNBOOK.md#alarm-applied-lag',
      },
    ]);
    expect(kinds(surveyOf({ us: healthy(US, LEADING, { alarms: { error: 'throttled' } }) }))).toEqual([
      'healthy',
    ]);
  });

  test('is to add a Region where two cannot outvote a lost one', () => {
    expect(kinds({ atMs: NOW, regions: [healthy(EU), healthy(US)] })).toEqual(['too-few']);
  });

  test('is to take in a Region that has forgotten the register, which then is no part of a majority', () => {
    const blank = { ...healthy(AP), acceptor: NO_ACCEPTOR };
    expect(kinds(surveyOf({ ap: blank }))).toEqual(['forgotten']);
    expect(first(surveyOf({ ap: blank }))).toMatch(
      /^ap-southeast-2 .*: understudy found --leader eu-west-1\.$/,
    );
    expect(kinds(surveyOf({ us: lost(US), ap: blank }))).toEqual(['unavailable', 'unreachable', 'forgotten']);
  });

  test('is to see to the replicas where none could be promoted, first of all', () => {
    const refusals = [{ code: 'NO_CANDIDATE', why: 'none', stops: 'any' }] as const;
    const candidates = [
      { region: EU, eligible: false, why: 'it is the leader that is replaced' },
      { region: US, eligible: false, why: 'its store has no position yet' },
    ];
    const plan = { from: EU, candidates, refusals } as unknown as Plan;
    const [found] = adviceOf(surveyOf(), { profile, plan });
    expect(found).toMatchObject({ kind: 'no-candidate' });
    expect(found!.text).toContain('(us-east-1: its store has no position yet)');
    expect(adviceOf(surveyOf(), { profile, plan: { ...plan, refusals: [] } })[0]!.kind).toBe('healthy');
    const few = surveyOf({ eu: lost(EU), us: lost(US) });
    expect(adviceOf(few, { profile, plan }).map(({ kind }) => kind)).not.toContain('no-candidate');
  });

  test('puts what stops the group before what can wait', () => {
    const paused = { ...LEADING, paused: { by: 'ann', reason: 'maintenance' } };
    const survey = surveyOf({ eu: lost(EU), us: voting(US, E2, paused), ap: voting(AP, E2, paused) }, paused);
    expect(kinds(survey, 'paused')).toEqual(['held', 'unreachable', 'paused']);
  });
});
