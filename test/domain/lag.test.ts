import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lagOf, type Position } from '#lib/domain/lag.ts';
import { parseLsn } from '#lib/domain/lsn.ts';

type Change = { readonly commitMs: number; readonly bytes: number };

/** A leader's history in commit order, and how much of it has arrived in the log and at a follower. */
const history = fc
  .array(fc.record({ gapMs: fc.nat(5_000), bytes: fc.nat(2_000) }), { minLength: 1, maxLength: 50 })
  .map((steps) => {
    let commitMs = 1_700_000_000_000;
    return steps.map(({ gapMs, bytes }): Change => {
      commitMs += gapMs;
      return { commitMs, bytes };
    });
  });

function positionAfter(changes: readonly Change[], count: number): Position {
  const seen = changes.slice(0, count);
  return {
    lsn: parseLsn(count),
    totalBytes: BigInt(seen.reduce((sum, { bytes }) => sum + bytes, 0)),
    commitMs: seen.at(-1)?.commitMs ?? 0,
  };
}

describe('reported lag', () => {
  test('is never less than the true lag, and exact in records and bytes of what is logged', () => {
    fc.assert(
      fc.property(history, fc.nat(), fc.nat(), fc.nat(10_000), (changes, a, b, lateMs) => {
        const logged = a % (changes.length + 1);
        const arrived = b % (logged + 1);
        const nowMs = changes.at(-1)!.commitMs + lateMs;
        const lag = lagOf(positionAfter(changes, logged), positionAfter(changes, arrived), nowMs);

        // True lag in time: the age of the oldest change that is committed at the leader and not here.
        const oldestMissing = changes[arrived];
        expect(lag.ms).toBeGreaterThanOrEqual(
          oldestMissing === undefined ? 0 : nowMs - oldestMissing.commitMs,
        );
        expect(lag.records).toBe(BigInt(logged - arrived));
        const missing = changes.slice(arrived, logged).reduce((sum, { bytes }) => sum + bytes, 0);
        expect(lag.bytes).toBe(BigInt(missing));
      }),
    );
  });

  test('of an empty replica is the age of everything, not zero', () => {
    const changes = [{ commitMs: 1_700_000_000_000, bytes: 10 }];
    const lag = lagOf(positionAfter(changes, 1), positionAfter(changes, 0), 1_700_000_000_000);
    expect(lag).toEqual({ records: 1n, bytes: 10n, ms: 1_700_000_000_000 });
  });

  test('is never negative: an end that was read before the position, a clock that is behind', () => {
    const ahead = { lsn: parseLsn(9), totalBytes: 90n, commitMs: 2_000 };
    const end = { lsn: parseLsn(7), totalBytes: 70n, commitMs: 1_500 };
    expect(lagOf(end, ahead, 1_000)).toEqual({ records: 0n, bytes: 0n, ms: 0 });
  });
});
