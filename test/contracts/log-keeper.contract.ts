import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { type Entry, lastOf, place } from '#lib/domain/log.ts';
import type { LogKeeper, StoredSegment } from '#lib/ports/log-keeper.ts';
import { MAX_APPEND, type ReplicaLog } from '#lib/ports/replica-log.ts';
import {
  allEntries,
  draft,
  E1,
  E2,
  E3,
  fill,
  names,
  placeAll,
  segment,
  trimTo,
} from '../support/log-history.ts';

/** What every log lets retention do; `open` gives one that nobody has written to. */
export function logKeeperContract(
  open: () => { readonly log: ReplicaLog; readonly keeper: LogKeeper },
): void {
  let log: ReplicaLog;
  let keeper: LogKeeper;
  let written: readonly Entry[];
  beforeEach(async () => {
    ({ log, keeper } = open());
    written = await fill(log, names('e', 4));
  });

  const firsts = async () => (await allEntries(log)).map(({ first }) => first);
  const unlink = async (entry: Entry, authority = E1) =>
    keeper.unlink(LANE_0, await log.head(LANE_0), entry, authority, 42);
  const drop = async (authority = E1) =>
    keeper.dropEntries(LANE_0, (await log.head(LANE_0)).firstLsn, authority);
  const stored = async (): Promise<readonly StoredSegment[]> => {
    const all: StoredSegment[] = [];
    for (;;) {
      const page = await keeper.segments(all.at(-1));
      if (page.length === 0) return all;
      all.push(...page);
    }
  };

  describe('unlink', () => {
    test('raises where the log begins, notes when, and deletes nothing', async () => {
      const before = await log.head(LANE_0);
      const outcome = await unlink(written[2]!);
      expect(outcome).toEqual({ kind: 'kept', head: { ...before, firstLsn: 7n, unlinkedAtMs: 42 } });
      expect(await log.head(LANE_0)).toEqual(outcome.head);
      expect(await firsts()).toEqual([1n, 4n, 7n, 10n]);
    });

    test('never goes back, and keeps the newest entry', async () => {
      const { head } = await unlink(written[2]!);
      for (const entry of [written[2]!, written[0]!]) {
        expect(await unlink(entry)).toEqual({ kind: 'moved', head });
      }
      expect((await unlink(written[3]!)).head.firstLsn).toBe(10n);
    });

    test('in the name of an epoch below the seal is fenced', async () => {
      const { head } = await log.seal(LANE_0, E2);
      expect(await unlink(written[2]!, E1)).toEqual({ kind: 'fenced', head });
      expect(await log.head(LANE_0)).toEqual(head);
      expect((await unlink(written[2]!, E2)).kind).toBe('kept');
    });

    test('by a head from before the seal is fenced all the same', async () => {
      const stale = await log.head(LANE_0);
      const { head } = await log.seal(LANE_0, E2);
      expect(await keeper.unlink(LANE_0, stale, written[2]!, E1, 42)).toEqual({ kind: 'fenced', head });
    });

    test('of two by the same head lets one win', async () => {
      const head = await log.head(LANE_0);
      const both = [written[1]!, written[2]!].map((entry) =>
        keeper.unlink(LANE_0, head, entry, E1, Number(entry.first)),
      );
      const outcomes = await Promise.all(both);
      expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['kept', 'moved']);
    });

    test('before an entry that the log does not have any more changes nothing', async () => {
      const head = await log.head(LANE_0);
      await log.rewind(LANE_0, head, written[0]!);
      // Longer entries: none begins where the old one did.
      await fill(log, ['other', 'another', 'last'], { count: 5, epoch: E1 });
      const now = await log.head(LANE_0);
      expect(await keeper.unlink(LANE_0, head, written[2]!, E1, 42)).toEqual({ kind: 'moved', head: now });
      expect(await log.head(LANE_0)).toEqual(now);
    });

    test('that comes between the look and the append of a writer stays in force', async () => {
      const head = await log.head(LANE_0);
      const { head: trimmed } = await unlink(written[2]!);
      const late = (at: typeof head) => log.append(LANE_0, at, [place(at, draft('late'), E1)], E1);
      expect(await late(head)).toEqual({ kind: 'moved', head: trimmed });
      expect((await late(trimmed)).head).toMatchObject({ firstLsn: 7n, lastLsn: 15n, unlinkedAtMs: 42 });
    });

    test('that races an append loses neither', async () => {
      const head = await log.head(LANE_0);
      const [outcome] = await Promise.all([
        log.append(LANE_0, head, [place(head, draft('racer'), E1)], E1),
        unlink(written[3]!),
      ]);
      const end = outcome.kind === 'appended' ? 15n : 12n;
      expect(await log.head(LANE_0)).toMatchObject({ firstLsn: 10n, lastLsn: end });
    });
  });

  describe('entries that are deleted', () => {
    test('are those before where the log begins, and no more', async () => {
      await unlink(written[2]!);
      const { count } = (await drop()) as { count: number };
      expect(count).toBe(2);
      expect(await drop()).toEqual({ kind: 'dropped', count: 0 });
      expect(await firsts()).toEqual([7n, 10n]);
      expect(await log.entryAt(LANE_0, lastOf(written[1]!))).toBeUndefined();
    });

    test('are never those of a log that begins before them', async () => {
      const head = await log.head(LANE_0);
      const later = written[2]!.first;
      expect(await keeper.dropEntries(LANE_0, later, E1)).toEqual({ kind: 'moved', head });
      expect(await firsts()).toHaveLength(4);
    });

    test('are none in the name of an epoch below the seal', async () => {
      await unlink(written[2]!);
      const { head } = await log.seal(LANE_0, E2);
      expect(await drop(E1)).toEqual({ kind: 'fenced', head });
      expect(await firsts()).toHaveLength(4);
      expect((await drop(E2)).kind).toBe('dropped');
    });

    test('are none by a call that was late, if the log has started over further back', async () => {
      await unlink(written[3]!);
      const { firstLsn } = await log.head(LANE_0);
      await trimTo(log, keeper, firstLsn);
      // A leader whose log ends sooner leads on: this one starts over there, and gets new entries.
      const head = await log.head(LANE_0);
      const onto = { ...head, lastLsn: written[0]!.first, chain: 'a'.repeat(64) };
      const based = await log.rebase(LANE_0, head, onto);
      await fill(log, ['new'], { epoch: E2 });
      expect((await keeper.dropEntries(LANE_0, firstLsn, E2)).kind).toBe('moved');
      expect(await firsts()).toEqual([based.firstLsn]);
    });

    test('may be hundreds', async () => {
      let head = await log.head(LANE_0);
      for (let run = 0; run < 5; run++) {
        const drafts = names(`r${run}-`, MAX_APPEND).map((name) => draft(name, { count: 1 }));
        head = (await log.append(LANE_0, head, placeAll(head, drafts), E1)).head;
      }
      await trimTo(log, keeper, head.lastLsn);
      expect(await firsts()).toEqual([head.lastLsn]);
    });
  });

  describe('a generation of segments', () => {
    const { bytes, hash } = segment('again');

    test('begins in the head, one after the other, and in no name below the seal', async () => {
      const before = await log.head(LANE_0);
      expect(before.generation).toBe(0);
      expect(await keeper.nextGeneration(LANE_0, E1)).toEqual({
        kind: 'kept',
        head: { ...before, generation: 1 },
      });
      const { head } = await log.seal(LANE_0, E2);
      expect(await keeper.nextGeneration(LANE_0, E1)).toEqual({ kind: 'fenced', head });
      await Promise.all([keeper.nextGeneration(LANE_0, E2), keeper.nextGeneration(LANE_0, E3)]);
      expect((await log.head(LANE_0)).generation).toBe(3);
    });

    test('of a log that nobody has written to begins with its first entry', async () => {
      const { log: empty, keeper: its } = open();
      expect((await its.nextGeneration(LANE_0, E1)).kind).toBe('moved');
      await fill(empty, ['first']);
      expect((await empty.head(LANE_0)).generation).toBe(0);
    });

    test('ends every append that was prepared before it', async () => {
      const head = await log.head(LANE_0);
      await log.putSegment(hash, bytes, head);
      const { head: next } = await keeper.nextGeneration(LANE_0, E1);
      const append = (at: typeof head) => log.append(LANE_0, at, [place(at, draft('again'), E1)], E1);
      expect(await append(head)).toEqual({ kind: 'moved', head: next });
      await log.putSegment(hash, bytes, next);
      expect((await append(next)).kind).toBe('appended');
      expect((await log.head(LANE_0)).generation).toBe(1);
    });

    test('ends a rewind and a rebase that were prepared before it', async () => {
      const head = await log.head(LANE_0);
      const { head: next } = await keeper.nextGeneration(LANE_0, E1);
      expect(await log.rewind(LANE_0, head, written[1]!)).toEqual(next);
      expect(await log.rebase(LANE_0, head, { ...head, chain: 'b'.repeat(64) })).toEqual(next);
      expect(await firsts()).toHaveLength(4);
    });

    test('has its own objects: to delete that of an earlier one takes nothing from it', async () => {
      await log.putSegment(hash, bytes, { generation: 0 });
      for (const generation of [1, 2]) await log.putSegment(hash, bytes, { generation });
      const mine = (await stored()).filter((each) => each.hash === hash);
      expect(mine.map(({ generation }) => generation).toSorted()).toEqual([0, 1, 2]);
      await keeper.dropSegments([
        { hash, generation: 0 },
        { hash, generation: 1 },
      ]);
      expect(Buffer.from(await log.getSegment({ hash })).equals(bytes)).toBe(true);
      await keeper.dropSegments([{ hash, generation: 2 }]);
      await expect(log.getSegment({ hash })).rejects.toMatchObject({ code: 'SEGMENT_MISSING' });
    });

    test('is found by whoever reads, whatever was read before', async () => {
      await log.putSegment(hash, bytes, { generation: 11 });
      for (const name of ['again', 'e0', 'again', 'e1']) {
        const each = segment(name);
        expect(Buffer.from(await log.getSegment(each)).equals(each.bytes)).toBe(true);
      }
    });
  });

  describe('segments', () => {
    test('are listed once each, over as many pages as it takes', async () => {
      const expected = names('e', 4).map((name) => segment(name).hash);
      expect((await stored()).map((each) => each.hash).toSorted()).toEqual(expected.toSorted());
    });

    test('may be deleted twice, and are gone for all', async () => {
      const all = await stored();
      await keeper.dropSegments(all);
      await keeper.dropSegments(all);
      await keeper.dropSegments([]);
      expect(await stored()).toEqual([]);
    });
  });
}
