import type { AlarmState } from '#lib/domain/alarms.ts';
import type { Acceptor, Ballot } from '#lib/domain/control/acceptor.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import type { RegionSurvey, Survey } from '#lib/domain/control/survey.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { emptyHead, type Head } from '#lib/domain/log.ts';
import { type Epoch, parseLsn } from '#lib/domain/lsn.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

export const NOW = 1_700_000_000_000;

/** EU leads epoch 2. */
export const LEADING: Register = { ...founded(EU, E2, 'orders-2-us-east-1-1'), coordinator: US };

export const BALLOT = '000000000001#eu-west-1#x' as Ballot;

export function headAt(lsn: number, given: Partial<Head> = {}): Head {
  return {
    ...emptyHead(GROUP, LANE_0),
    lastLsn: parseLsn(lsn),
    lastEpoch: E2,
    sealedEpoch: E2,
    lastCommitMs: NOW - 1_000,
    ...given,
  };
}

export function acceptorOf(register: Register, given: Partial<Acceptor> = {}): Acceptor {
  return {
    promised: BALLOT,
    accepted: { ballot: BALLOT, value: register },
    beat: { epoch: register.epoch, counter: NOW - 500, leaseUntilMs: NOW + 5_000 },
    leaderEnd: {
      epoch: register.epoch,
      end: { lsn: parseLsn(100), commitMs: NOW - 1_000, beyond: 180 },
    },
    ...given,
  };
}

/** A Region that answers, follows, and has all that the leader has. */
export function healthy(
  region: RegionId,
  register: Register = LEADING,
  given: Partial<RegionSurvey> = {},
): RegionSurvey {
  return {
    region,
    roundTripMs: 80,
    acceptor: acceptorOf(register),
    role: { epoch: register.epoch, leader: register.leader, attached: register.epoch },
    head: headAt(100),
    applied: { lsn: parseLsn(100), totalBytes: 0n, commitMs: NOW - 1_000 },
    copying: false,
    divergences: [],
    ...given,
  };
}

/** An alarm that is on, as CloudWatch describes it. */
export function alarmAt(alarm: string): AlarmState {
  const text = `[page] It is bad. See docs/RUNBOOK.md#alarm-${alarm}`;
  return { alarm, state: 'alarm', sinceMs: NOW - 60_000, reason: '3 of the last 5 datapoints', text };
}

export function lost(region: RegionId): RegionSurvey {
  return { region, error: 'no answer in 3000 ms' };
}

/** Three Regions that are well, but for what is given. */
export function surveyOf(
  given: Partial<Record<'eu' | 'us' | 'ap', RegionSurvey>> = {},
  register: Register = LEADING,
  rest: Partial<Survey> = {},
): Survey {
  const { eu = healthy(EU, register), us = healthy(US, register), ap = healthy(AP, register) } = given;
  return { atMs: NOW, regions: [eu, us, ap], ...rest };
}

/** A Region whose vote against `epoch` is in force. */
export function voting(region: RegionId, epoch: Epoch = E2, register: Register = LEADING): RegionSurvey {
  return healthy(region, register, { acceptor: acceptorOf(register, { vote: epoch }) });
}

export { AP, E1, E2, EU, US };
