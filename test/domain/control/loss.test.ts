import { describe, expect, test } from 'vitest';
import { type Acceptor, type BeatEnd, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import { heardEnd, lossOf } from '#lib/domain/control/loss.ts';
import { EPOCH_ZERO, parseLsn } from '#lib/domain/lsn.ts';
import { ballot } from '../../support/acceptor-operations.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { US } from '../../support/memory-group.ts';

const END: BeatEnd = { lsn: parseLsn(14), commitMs: 51_000, beyond: 6 };
const SURVIVOR = { epoch: E1, lsn: parseLsn(10), commitMs: 50_000 };

describe('the most that a promotion may lose', () => {
  const lost = (end: BeatEnd | undefined) => ({ epoch: E1, end, leaseEndMs: 52_000 });

  test('is what the leader is known to have logged beyond, and what its applications may have drawn beyond that', () => {
    expect(lossOf(lost(END), SURVIVOR, 500)).toEqual({ records: 4 + 6, ms: 2_500 });
    expect(lossOf(lost(END), { ...SURVIVOR, lsn: parseLsn(20) }, 0).records).toBe(6);
    expect(lossOf({ ...lost(END), leaseEndMs: 49_000 }, SURVIVOR, 500).ms).toBe(500);
  });

  test.each<readonly [string, BeatEnd | undefined, typeof SURVIVOR]>([
    ['without a beat of the leader', undefined, SURVIVOR],
    ['where nobody counts writes', { lsn: END.lsn, commitMs: END.commitMs }, SURVIVOR],
  ])('has no number %s, but a time', (_, end, survivor) => {
    expect(lossOf(lost(end), survivor, 0)).toEqual({ records: undefined, ms: 2_000 });
  });

  test.each<readonly [string, typeof SURVIVOR]>([
    [
      'no record of the leader: the newest may be the own write of one that was replaced',
      { ...SURVIVOR, epoch: E2 },
    ],
    ['no record at all', { epoch: EPOCH_ZERO, lsn: parseLsn(0), commitMs: 0 }],
  ])('has neither by a log that has %s', (_, survivor) => {
    expect(lossOf(lost(END), survivor, 0)).toEqual({ records: undefined, ms: undefined });
  });
});

describe('the newest end that was heard', () => {
  const value = {
    epoch: E1,
    phase: 'leading',
    leader: US,
    coordinator: US,
    run: 'run',
    cooldownUntilMs: 0,
  } as const;
  const KNOWING: Acceptor = { ...NO_ACCEPTOR, accepted: { ballot: ballot(1), value } };
  const told = (end: BeatEnd, epoch = E1): Acceptor => ({ ...KNOWING, leaderEnd: { epoch, end } });

  test('is that of the newest beat: further on, or where the log stood still, granting more', () => {
    const older = { ...END, lsn: parseLsn(12), beyond: 99 };
    const newer = { ...END, beyond: 7 };
    expect(heardEnd([told(older), told(END), told(newer)], E1, 5)).toBe(newer);
    const { beyond: _, ...silent } = END;
    expect(heardEnd([told(newer), told(silent)], E1, 3)).toBe(silent);
  });

  test('counts only if every majority that a beat can have had is heard', () => {
    expect(heardEnd([told(END)], E1, 3)).toBeUndefined();
    expect(heardEnd([told(END), KNOWING], E1, 3)).toBe(END);
    expect(heardEnd([told(END), KNOWING], E1, 5)).toBeUndefined();
    expect(heardEnd([told(END), KNOWING, KNOWING], E1, 5)).toBe(END);
    expect(heardEnd([told(END), NO_ACCEPTOR], E1, 3)).toBeUndefined();
  });

  test('is not that of another epoch', () => {
    expect(heardEnd([told(END, E2), told(END, E2)], E1, 3)).toBeUndefined();
  });
});
