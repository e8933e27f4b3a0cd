import { describe, expect, test } from 'vitest';
import type { Divergences } from '#lib/ports/divergences.ts';
import { E1, E2, segment as segmentOf } from '../support/log-history.ts';

const REPORT = { hash: 'a'.repeat(64), changes: 3, keys: 2, savedAtMs: 1_700_000_000_123 };
const DISCARD = { by: 'jo "j" ü', reason: 'written again\nby hand', atMs: 1_700_000_000_456 };

const segment = (hash: string, maxCommitMs: number) => ({ hash, maxCommitMs });

/** What every store of divergences does. `open` gives one that nobody has used, and one of another group beside it. */
export function divergencesContract(
  name: string,
  open: () => Promise<{ readonly divergences: Divergences; readonly other: Divergences }>,
): void {
  describe(`${name} as a store of divergences`, () => {
    test('knows none before something is noted', async () => {
      expect(await (await open()).divergences.of(E1)).toBeUndefined();
    });

    test('keeps what is put, under its hash, and apart from another group', async () => {
      const { divergences, other } = await open();
      const { bytes, hash } = segmentOf('kept');
      await divergences.put(hash, bytes);
      await divergences.put(hash, bytes);
      expect(Buffer.from(await divergences.get(hash)).equals(bytes)).toBe(true);
      await expect(other.get(hash)).rejects.toMatchObject({ code: 'SEGMENT_MISSING' });
      await divergences.put('0'.repeat(64), bytes);
      await expect(divergences.get('0'.repeat(64))).rejects.toMatchObject({ code: 'SEGMENT_FORGED' });
    });

    test('notes each segment once, in any order, and the newest commit time of all', async () => {
      const { divergences } = await open();
      for (const [hash, ms] of [
        ['b', 20],
        ['a', 10],
        ['b', 20],
        ['c', 15],
      ] as const) {
        await divergences.collect(E1, segment(hash, ms));
      }
      const { collected, ...rest } = (await divergences.of(E1))!;
      expect(collected.toSorted()).toEqual(['a', 'b', 'c']);
      expect(rest).toEqual({ epoch: 1, newestMs: 20 });
    });

    test('loses no segment of many that are noted at once', async () => {
      const { divergences } = await open();
      const hashes = Array.from({ length: 12 }, (_, index) => `hash-${index}`);
      await Promise.all(hashes.map((hash) => divergences.collect(E1, segment(hash, 5))));
      expect((await divergences.of(E1))!.collected.toSorted()).toEqual(hashes.toSorted());
    });

    test('keeps a report beside what is collected, and the later of two', async () => {
      const { divergences } = await open();
      await divergences.save(E1, REPORT);
      expect(await divergences.of(E1)).toEqual({ epoch: 1, collected: [], newestMs: 0, report: REPORT });
      await divergences.collect(E1, segment('a', 10));
      await divergences.save(E1, { ...REPORT, changes: 4, takenBack: E2 });
      expect(await divergences.of(E1)).toEqual({
        epoch: 1,
        collected: ['a'],
        newestMs: 10,
        report: { ...REPORT, changes: 4, takenBack: 2 },
      });
    });

    test('keeps the report of what somebody has discarded', async () => {
      const { divergences } = await open();
      await divergences.save(E1, REPORT);
      await divergences.discard(E1, DISCARD);
      expect(await divergences.of(E1)).toMatchObject({ report: REPORT, discarded: DISCARD });
    });

    test('keeps epochs and groups apart', async () => {
      const { divergences, other } = await open();
      await divergences.collect(E1, segment('a', 10));
      await divergences.save(E2, REPORT);
      await other.collect(E1, segment('b', 99));
      expect(await divergences.of(E1)).toEqual({ epoch: 1, collected: ['a'], newestMs: 10 });
      expect(await divergences.of(E2)).toEqual({ epoch: 2, collected: [], newestMs: 0, report: REPORT });
      expect(await other.of(E2)).toBeUndefined();
    });
  });
}
