import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_DRIFT, PROFILES } from '#lib/domain/control/profile.ts';
import { leaseLeftMs, look, stillMs } from '#lib/domain/control/watch.ts';
import { E1, E2 } from '../../support/log-history.ts';

const at = (steadyMs: number, wallMs = steadyMs + 1_000_000) => ({ steadyMs, wallMs });

describe('a watch', () => {
  test('begins at the first look, and anew with each move of the counter and each epoch', () => {
    const first = look(undefined, E1, 5, at(100));
    expect(look(first, E1, 5, at(900))).toBe(first);
    expect(stillMs(first, at(900))).toBe(800);
    expect(stillMs(look(first, E1, 6, at(900)), at(1_000))).toBe(100);
    expect(stillMs(look(first, E2, 5, at(900)), at(1_000))).toBe(100);
    // A counter that goes back was another Region's to read; it moved all the same.
    expect(stillMs(look(first, E1, 4, at(900)), at(900))).toBe(0);
  });

  test.each([
    ['the wall clock jumps ahead', at(110, 9_999_999)],
    ['the wall clock jumps back', at(110, 0)],
    ['the steady clock stood still while the process slept', at(100, 1_009_100)],
  ])('is not longer than it was for certain when %s', (_, now) => {
    const watch = look(undefined, E1, 5, at(100));
    expect(stillMs(watch, now)).toBeLessThanOrEqual(10);
  });
});

describe('what is left of a lease', () => {
  test('counts down, and goes below zero', () => {
    expect(leaseLeftMs(at(100), 1_000, at(100))).toBe(1_000);
    expect(leaseLeftMs(at(100), 1_000, at(700))).toBe(400);
    expect(leaseLeftMs(at(100), 1_000, at(1_200))).toBe(-100);
  });

  test('is not more by any jump of the wall clock, nor by a steady clock that stood still', () => {
    const sent = at(100);
    expect(leaseLeftMs(sent, 1_000, at(700, 0))).toBe(400);
    expect(leaseLeftMs(sent, 1_000, at(700, 9_999_999))).toBeLessThan(0);
    expect(leaseLeftMs(sent, 1_000, at(100, sent.wallMs + 2_000))).toBe(-1_000);
  });
});

test('whatever the two clocks of a process do, watches are never too long and leases never too long', () => {
  const moment = fc.record({ steadyMs: fc.nat(), wallMs: fc.nat() });
  fc.assert(
    fc.property(moment, moment, fc.nat(), (then, now, leaseMs) => {
      const steady = now.steadyMs - then.steadyMs;
      const wall = now.wallMs - then.wallMs;
      const still = stillMs(look(undefined, E1, 1, then), now);
      expect(still <= steady && still <= wall).toBe(true);
      const left = leaseLeftMs(then, leaseMs, now);
      expect(left <= leaseMs - steady && left <= leaseMs - wall).toBe(true);
    }),
  );
});

describe.each(Object.values(PROFILES))('the profile $name', (profile) => {
  test('keeps leases apart at any clock rates within the drift', () => {
    const { leaseMs, marginMs } = profile;
    // The slowest leader holds its lease this long; the fastest watcher waits at least this long.
    expect(leaseMs * (1 + MAX_DRIFT)).toBeLessThan((leaseMs + marginMs) * (1 - MAX_DRIFT));
  });

  test('survives a lost beat, and looks often enough to see each', () => {
    expect(profile.beatMs * 2).toBeLessThan(profile.leaseMs);
    expect(profile.lookMs).toBeLessThanOrEqual(profile.beatMs);
    expect(profile.takeoverMs).toBeGreaterThan(profile.leaseMs + profile.marginMs);
    expect(profile.cooldownMs).toBeGreaterThan(profile.takeoverMs);
  });
});
