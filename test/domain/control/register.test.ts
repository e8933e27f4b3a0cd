import { describe, expect, test } from 'vitest';
import { amend, type Claim, claim, founded, install, type Register } from '#lib/domain/control/register.ts';
import { E1, E2, E3 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const LEADING: Register = { ...founded(EU, E1, 'run-0'), cooldownUntilMs: 500 };
const BY: Claim = { epoch: E1, coordinator: US, run: 'run-1', phase: 'failing-over' };
const CLAIMED = claim(LEADING, BY).register;

describe('claim', () => {
  test('gives the next epoch to one run, and keeps who is being replaced', () => {
    expect(claim(LEADING, BY)).toEqual({
      kind: 'changed',
      register: {
        epoch: 2,
        phase: 'failing-over',
        leader: EU,
        coordinator: US,
        run: 'run-1',
        led: 1,
        cooldownUntilMs: 500,
      },
    });
  });

  test('keeps which epoch the leader led that is being replaced, however many claims it takes', () => {
    const again = claim(CLAIMED, { ...BY, epoch: E2, run: 'run-2' });
    expect(again.register).toMatchObject({ epoch: 3, leader: EU, led: 1 });
  });

  test('holds for the run that has it, and changes nothing more', () => {
    expect(claim(CLAIMED, BY)).toEqual({ kind: 'changed', register: CLAIMED });
  });

  test.each<readonly [string, Register, Claim]>([
    ['another run of the same epoch', CLAIMED, { ...BY, run: 'run-2' }],
    ['the same coordinator with another run', CLAIMED, { ...BY, coordinator: US, run: 'run-2' }],
    ['a run that is an epoch late', { ...CLAIMED, epoch: E3 }, BY],
    ['a run that is ahead', LEADING, { ...BY, epoch: E2 }],
  ])('refuses %s', (_, register, by) => {
    expect(claim(register, by)).toEqual({ kind: 'superseded', register });
  });

  test('takes an epoch over whose coordinator died, with all but its successor', () => {
    const register: Register = { ...CLAIMED, phase: 'switching-over', successor: AP };
    const next = claim(register, { ...BY, epoch: E2, run: 'run-2', coordinator: AP }).register;
    expect(next).toMatchObject({ epoch: 3, coordinator: AP, leader: EU, phase: 'failing-over' });
    expect(next).not.toHaveProperty('successor');
  });

  test('names the successor of a switchover, and keeps a pause', () => {
    const paused = { by: 'jo', reason: 'why' };
    const by: Claim = { ...BY, phase: 'switching-over', successor: AP };
    expect(claim({ ...LEADING, paused }, by).register).toMatchObject({
      phase: 'switching-over',
      successor: AP,
      paused,
    });
  });
});

describe('install', () => {
  const by = { epoch: E2, run: 'run-1', leader: US, cooldownUntilMs: 9_000 };
  const INSTALLED = install(CLAIMED, by).register;

  test('gives the claimed epoch its leader', () => {
    const { led: _, ...rest } = CLAIMED;
    expect(install({ ...CLAIMED, successor: US }, by)).toEqual({
      kind: 'changed',
      register: { ...rest, phase: 'leading', leader: US, cooldownUntilMs: 9_000 },
    });
  });

  test('may be repeated by its run, and names one leader only', () => {
    expect(install(INSTALLED, { ...by, cooldownUntilMs: 99 })).toEqual({
      kind: 'changed',
      register: INSTALLED,
    });
    expect(install(INSTALLED, { ...by, leader: AP })).toEqual({ kind: 'superseded', register: INSTALLED });
  });

  test.each([
    ['another run', { ...by, run: 'run-2' }],
    ['an epoch that is over', { ...by, epoch: E1 }],
    ['an epoch that is not claimed yet', { ...by, epoch: E3 }],
  ])('is refused to %s', (_, wrong) => {
    for (const register of [CLAIMED, INSTALLED]) {
      expect(install(register, wrong)).toEqual({ kind: 'superseded', register });
    }
  });
});

describe('amend', () => {
  const paused = { by: 'jo', reason: 'a drill' };

  test('pauses, resumes, and ends a cooldown, each without the other', () => {
    const held = amend(LEADING, { paused }).register;
    expect(held).toEqual({ ...LEADING, paused });
    expect(amend(held, { cooldownUntilMs: 0 }).register).toEqual({ ...held, cooldownUntilMs: 0 });
    expect(amend(held, { paused: null }).register).toEqual(LEADING);
    expect(amend(held, {}).register).toEqual(held);
  });

  test('never touches who leads, whatever the phase', () => {
    for (const register of [LEADING, CLAIMED]) {
      const {
        cooldownUntilMs: _,
        paused: __,
        ...rest
      } = amend(register, { paused, cooldownUntilMs: 1 }).register;
      const { cooldownUntilMs: ___, ...before } = register;
      expect(rest).toEqual(before);
    }
  });
});
