import { describe, expect, test } from 'vitest';
import type { Decision, History } from '#lib/ports/history.ts';
import { E1, E2 } from '../support/log-history.ts';

function decision(step: string, given: Partial<Decision> = {}): Decision {
  return { atMs: 1_700_000_000_000, epoch: E1, run: 'orders-1', step, input: {}, outcome: null, ...given };
}

/** What every decision log does. `open` gives one that nobody has used, and one of another group beside it. */
export function historyContract(
  name: string,
  open: () => Promise<{ readonly history: History; readonly other: History }>,
): void {
  describe(`${name} as a decision log`, () => {
    test('begins empty', async () => {
      expect(await (await open()).history.of(E1)).toEqual([]);
    });

    test('gives every decision back as it was made, in order, repeated ones too', async () => {
      const { history } = await open();
      const made = [
        decision('claim', { input: { found: [{ vote: null, beat: 7 }], why: 'ü "q"\n' } }),
        decision('fence', { atMs: 1, outcome: { outcome: 'fenced', seals: [{ lsn: `${2n ** 64n - 1n}` }] } }),
        decision('fence', { atMs: 1, outcome: { outcome: 'fenced', seals: [{ lsn: `${2n ** 64n - 1n}` }] } }),
        decision('elect', { run: 'orders-2', outcome: [0, 1.5, true, null] }),
      ];
      for (const each of made) await history.record(each);
      expect(await history.of(E1)).toEqual(made);
    });

    test('is not touched by what becomes of a decision afterwards', async () => {
      const { history } = await open();
      const input = { candidates: ['a'] };
      await history.record(decision('elect', { input }));
      input.candidates.push('b');
      expect(await history.of(E1)).toEqual([decision('elect', { input: { candidates: ['a'] } })]);
    });

    test('loses none of many that are made at once', async () => {
      const { history } = await open();
      const steps = Array.from({ length: 12 }, (_, index) => `step-${index}`);
      await Promise.all(steps.map((step) => history.record(decision(step))));
      expect((await history.of(E1)).map(({ step }) => step).toSorted()).toEqual(steps.toSorted());
    });

    test('keeps epochs and groups apart', async () => {
      const { history, other } = await open();
      await history.record(decision('claim'));
      await history.record(decision('claim', { epoch: E2 }));
      await other.record(decision('drain'));
      expect(await history.of(E1)).toEqual([decision('claim')]);
      expect(await history.of(E2)).toEqual([decision('claim', { epoch: E2 })]);
      expect(await other.of(E1)).toEqual([decision('drain')]);
    });
  });
}
