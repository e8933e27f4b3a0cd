import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type GroupId, LANE_0, parseGroupId, parseLaneId } from '#lib/domain/ids.ts';
import { type Entry, emptyHead, headAfter, place } from '#lib/domain/log.ts';
import { LSN_ZERO, parseLsn } from '#lib/domain/lsn.ts';
import type { LogKeeper } from '#lib/ports/log-keeper.ts';
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
  sha256,
  trimTo,
} from '../support/log-history.ts';
import { logKeeperContract } from './log-keeper.contract.ts';

/** What an implementation of the port lends to the suite. */
export type LogSubject = {
  /**
   * The log of a group that nobody has written to, in the first or the second of two Regions. `small`: bytes of a segment that
   * goes into its entry, at the most; none does if it is not given.
   */
  open(group: GroupId, place?: 'second', small?: number): ReplicaLog;
  /** Retention of a log that was opened. */
  keep(log: ReplicaLog): LogKeeper;
  /** Puts bytes under a name that is not theirs, past the log. */
  forge(group: GroupId, hash: string, bytes: Uint8Array): Promise<void>;
};

let groups = 0;
/** No append follows. */
const ANY = { generation: 0 };

/** A group that no other test uses. */
export function freshGroup(): GroupId {
  return parseGroupId(`group-${groups++}`);
}

/** What every log does, in memory or on AWS. */
export function replicaLogContract(name: string, start: () => Promise<LogSubject & AsyncDisposable>): void {
  describe(`the log port: ${name}`, () => {
    let subject: LogSubject & AsyncDisposable;
    let group: GroupId;
    let log: ReplicaLog;

    beforeAll(async () => {
      subject = await start();
    });
    afterAll(async () => {
      await subject?.[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      group = freshGroup();
      log = subject.open(group);
    });

    /** An append of one entry to the head in force, as one writer sees it. */
    const appendOne = async (writer: string, epoch = E1) => {
      const head = await log.head(LANE_0);
      const entry = place(head, draft(writer), epoch);
      return { head, entry, send: () => log.append(LANE_0, head, [entry], epoch) };
    };

    describe('segments', () => {
      test('are read as they were put, and may be put again', async () => {
        const { hash, bytes } = segment('a');
        await log.putSegment(hash, bytes, ANY);
        await log.putSegment(hash, bytes, ANY);
        expect(Buffer.from(await log.getSegment({ hash })).equals(bytes)).toBe(true);
      });

      test('are bytes, whatever they hold', async () => {
        const all = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256);
        await Promise.all(Array.from({ length: 5 }, () => log.putSegment(sha256(all), all, ANY)));
        expect(Buffer.from(await log.getSegment({ hash: sha256(all) })).equals(all)).toBe(true);
      });

      test('that are not there are missing', async () => {
        await expect(log.getSegment(segment('none'))).rejects.toMatchObject({ code: 'SEGMENT_MISSING' });
      });

      test('are written once: a later put of other bytes changes nothing', async () => {
        const { hash, bytes } = segment('a');
        await log.putSegment(hash, bytes, ANY);
        await log.putSegment(hash, Buffer.from('other'), ANY);
        expect(Buffer.from(await log.getSegment({ hash })).equals(bytes)).toBe(true);
      });

      test('whose bytes are not those that they are named after are refused as forged', async () => {
        const { hash, bytes } = segment('a');
        for (const forged of [Buffer.from('other'), bytes.subarray(1), Buffer.alloc(0)]) {
          await subject.forge(group, hash, forged);
          await expect(log.getSegment({ hash })).rejects.toMatchObject({ code: 'SEGMENT_FORGED' });
        }
      });

      test('of one group are not those of another', async () => {
        const { hash, bytes } = segment('a');
        await log.putSegment(hash, bytes, ANY);
        const other = subject.open(freshGroup());
        await expect(other.getSegment({ hash })).rejects.toMatchObject({ code: 'SEGMENT_MISSING' });
      });
    });

    describe('small segments', () => {
      const [just, over] = [Buffer.alloc(100, 'a'), Buffer.alloc(101, 'b')];
      const put = async (to: ReplicaLog, bytes: Buffer) => {
        const head = await to.head(LANE_0);
        const kept = await to.putSegment(sha256(bytes), bytes, head);
        const entry = place(
          head,
          { ...draft('any'), hash: sha256(bytes) },
          E1,
          kept === 'small' ? bytes : undefined,
        );
        expect((await to.append(LANE_0, head, [entry], E1)).kind).toBe('appended');
        return kept;
      };

      beforeEach(() => {
        log = subject.open(group, undefined, 100);
      });

      test('are in their entries, and nothing else is stored of them', async () => {
        expect(await put(log, just)).toBe('small');
        expect(await subject.keep(log).segments()).toEqual([]);
        const [entry] = await allEntries(log);
        expect(Buffer.from(entry!.segment!).equals(just)).toBe(true);
        expect(Buffer.from(await log.getSegment(entry!)).equals(just)).toBe(true);
      });

      test('end where the limit is', async () => {
        expect(await put(log, over)).toBe('stored');
        const [entry] = await allEntries(log);
        expect(entry).not.toHaveProperty('segment');
        expect(Buffer.from(await log.getSegment(entry!)).equals(over)).toBe(true);
      });

      test('change nothing in the chain: with and without them, entries and heads are the same', async () => {
        const plain = subject.open(freshGroup());
        for (const to of [log, plain]) await put(to, just);
        const [[mine], [theirs]] = [await allEntries(log), await allEntries(plain)];
        const onto = place(emptyHead(group, LANE_0), { ...draft('any'), hash: sha256(just) }, E1);
        expect({ ...mine, segment: undefined }).toEqual({ ...onto, segment: undefined });
        expect(theirs).not.toHaveProperty('segment');
      });

      test('whose bytes are not those of the hash are refused as forged', async () => {
        const forged = log.getSegment({ hash: sha256(just), segment: over });
        await expect(forged).rejects.toMatchObject({ code: 'SEGMENT_FORGED' });
      });

      test('come in any number with one look', async () => {
        const many = Array.from({ length: 24 }, (_, index) => Buffer.alloc(60_000, `${index}`));
        const wide = subject.open(freshGroup(), undefined, 60_000);
        for (const bytes of many) expect(await put(wide, bytes)).toBe('small');
        const entries = await wide.entries(LANE_0, LSN_ZERO, 23);
        expect(entries.map(({ hash }) => hash)).toEqual(many.slice(0, 23).map(sha256));
      });
    });

    describe('append', () => {
      test('begins from the empty head of the group and lane', async () => {
        expect(await log.head(LANE_0)).toEqual(emptyHead(group, LANE_0));
        const { head, entry, send } = await appendOne('a');
        expect(await send()).toEqual({
          kind: 'appended',
          head: { ...headAfter(head, entry), sealedEpoch: 1 },
          again: false,
        });
        expect(await log.head(LANE_0)).toEqual({ ...headAfter(head, entry), sealedEpoch: 1 });
        expect(await allEntries(log)).toEqual([entry]);
      });

      test('keeps every field of entry and head exactly', async () => {
        const head = await log.head(LANE_0);
        const marks = {
          'shardId-00000001792345678901-0a1b2c3d': { sequence: '9'.repeat(40), atMs: 1_795_449_965_123 },
          'a.b#c': { sequence: '0001', atMs: 0 },
        };
        const entry = place(head, draft('x', { bytes: Number.MAX_SAFE_INTEGER, minCommitMs: 0, marks }), E2);
        await log.append(LANE_0, head, [entry], E2);
        expect(await allEntries(log)).toEqual([entry]);
        expect(await log.head(LANE_0)).toEqual({ ...headAfter(head, entry), sealedEpoch: 2 });
      });

      test('of two writers that race lets exactly one win, and tells the other where the log is', async () => {
        const [a, b] = [await appendOne('a'), await appendOne('b')];
        const outcomes = await Promise.all([a.send(), b.send()]);
        expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['appended', 'moved']);
        const head = await log.head(LANE_0);
        for (const outcome of outcomes) expect(outcome.head).toEqual(head);
        expect(await allEntries(log)).toHaveLength(1);
      });

      test('of ten writers that race, each until it has won, gives each LSN to exactly one', async () => {
        const write = async (writer: string) => {
          let head = await log.head(LANE_0);
          for (;;) {
            const outcome = await log.append(LANE_0, head, [place(head, draft(writer), E1)], E1);
            if (outcome.kind === 'appended') return outcome.again;
            expect(outcome.kind).toBe('moved');
            head = outcome.head;
          }
        };
        const again = await Promise.all(names('writer', 10).map(write));
        expect(again).toEqual(Array(10).fill(false));
        const entries = await allEntries(log);
        expect(entries.map(({ first }) => first)).toEqual(
          Array.from({ length: 10 }, (_, i) => BigInt(i * 3 + 1)),
        );
        expect(new Set(entries.map(({ hash }) => hash)).size).toBe(10);
        const replayed = entries.reduce(headAfter, emptyHead(group, LANE_0));
        expect(await log.head(LANE_0)).toEqual({ ...replayed, sealedEpoch: 1 });
      });

      test('of a writer that is sealed between its look at the head and its append is fenced', async () => {
        await fill(log, ['a']);
        const writer = await appendOne('late');
        const sealed = await log.seal(LANE_0, E2);
        expect(await writer.send()).toEqual({ kind: 'fenced', head: sealed.head });
        expect(await log.head(LANE_0)).toEqual(sealed.head);
        expect(await allEntries(log)).toHaveLength(1);
        // It stays fenced when it looks again.
        const again = await appendOne('late');
        expect((await again.send()).kind).toBe('fenced');
      });

      test('that can not commit even by the head that its writer knows is told the head in force all the same', async () => {
        const { head: known } = await log.seal(LANE_0, E2);
        const { head } = await log.seal(LANE_0, E3);
        expect(await log.append(LANE_0, known, [place(known, draft('a'), E1)], E1)).toEqual({
          kind: 'fenced',
          head,
        });
        expect(await log.append(LANE_0, known, [], E1)).toEqual({ kind: 'appended', head, again: true });
      });

      test('of an entry of a newer epoch than the one in whose name it is made is fenced', async () => {
        const head = await log.head(LANE_0);
        const outcome = await log.append(LANE_0, head, [place(head, draft('a'), E3)], E2);
        expect(outcome).toEqual({ kind: 'fenced', head });
        expect(await allEntries(log)).toEqual([]);
      });

      test('that races a seal of a later epoch is in the sealed log or fenced, never after the seal', async () => {
        for (let round = 0; round < 5; round++) {
          const epoch = (await log.head(LANE_0)).sealedEpoch;
          const authority = epoch === 0 ? E1 : epoch;
          const writer = await appendOne(`w${round}`, authority);
          const [outcome, sealed] = await Promise.all([
            writer.send(),
            log.seal(LANE_0, (authority + 1) as typeof authority),
          ]);
          const there = (await allEntries(log)).some(({ chain }) => chain === writer.entry.chain);
          expect(outcome.kind).toBe(there ? 'appended' : 'fenced');
          expect(sealed.kind).toBe('sealed');
          expect(sealed.head.lastLsn).toBe((await log.head(LANE_0)).lastLsn);
        }
      });

      test('raises the seal to its authority, so that an older writer is fenced by it', async () => {
        await fill(log, ['a'], { epoch: E1 });
        const old = await appendOne('old', E1);
        const head = await log.head(LANE_0);
        const repeated = place(head, draft('history'), E1);
        expect((await log.append(LANE_0, head, [repeated], E3)).head.sealedEpoch).toBe(3);
        const outcome = await old.send();
        expect(outcome.kind).toBe('fenced');
        expect(outcome.head).toEqual(await log.head(LANE_0));
      });

      test('that is repeated after its answer was lost is known as done', async () => {
        await fill(log, ['a']);
        const writer = await appendOne('b');
        await writer.send();
        const head = await log.head(LANE_0);
        expect(await writer.send()).toEqual({ kind: 'appended', head, again: true });
        expect(await log.head(LANE_0)).toEqual(head);
      });

      test('that is repeated after others have appended is known as done, even by a sealed writer', async () => {
        const writer = await appendOne('b');
        await writer.send();
        await fill(log, names('c', 3));
        const { head } = await log.seal(LANE_0, E3);
        expect(await writer.send()).toEqual({ kind: 'appended', head, again: true });
        expect(await allEntries(log)).toHaveLength(4);
      });

      test('whose segment alone was stored leaves the log as it was, and the next one proceeds', async () => {
        await fill(log, ['a']);
        const head = await log.head(LANE_0);
        const { hash, bytes } = segment('orphan');
        await log.putSegment(hash, bytes, ANY);
        expect(await log.head(LANE_0)).toEqual(head);
        await fill(log, ['b', 'orphan']);
        expect((await log.head(LANE_0)).lastLsn).toBe(9n);
      });

      test('takes several entries in one step, up to the limit', async () => {
        const head = await log.head(LANE_0);
        const entries = placeAll(
          head,
          names('e', MAX_APPEND).map((name, at) => draft(name, { at })),
        );
        const outcome = await log.append(LANE_0, head, entries, E1);
        expect(outcome).toMatchObject({ kind: 'appended', again: false });
        expect(await allEntries(log)).toEqual(entries);
        expect(await log.append(LANE_0, head, entries, E1)).toEqual({ ...outcome, again: true });
      });

      test('of several entries of which one does not chain changes nothing', async () => {
        const head = await log.head(LANE_0);
        const entries = placeAll(
          head,
          names('e', 4).map((name) => draft(name)),
        );
        const broken = entries.map((entry, index) =>
          index === 2 ? { ...entry, chain: '0'.repeat(64) } : entry,
        );
        expect((await log.append(LANE_0, head, broken, E1)).kind).toBe('moved');
        expect(await log.head(LANE_0)).toEqual(head);
        expect(await allEntries(log)).toEqual([]);
      });

      test('to a head of another history that ends at the same LSN is refused', async () => {
        const other = subject.open(group, 'second');
        await fill(other, ['x']);
        const [own] = await fill(log, ['a']);
        const foreign = await other.head(LANE_0);
        const entries = placeAll(foreign, [draft('y')]);
        const head = await log.head(LANE_0);
        expect(await log.append(LANE_0, foreign, entries, E1)).toEqual({ kind: 'moved', head });
        expect(await allEntries(log)).toEqual([own]);
      });

      test('of several entries to a head that has moved leaves none of them', async () => {
        const head = await log.head(LANE_0);
        const entries = placeAll(
          head,
          names('e', 4).map((name) => draft(name)),
        );
        const [winner] = await fill(log, ['winner']);
        const outcome = await log.append(LANE_0, head, entries, E1);
        expect(outcome).toEqual({ kind: 'moved', head: await log.head(LANE_0) });
        expect(await allEntries(log)).toEqual([winner]);
      });
    });

    describe('entries', () => {
      let written: readonly Entry[];
      beforeEach(async () => {
        written = await fill(log, names('e', 5));
      });

      test('come in order, in pages, from the first that begins at an LSN or later', async () => {
        const pages = async (from: bigint, limit: number) =>
          (await log.entries(LANE_0, parseLsn(from), limit)).map(({ first }) => first);
        expect(await pages(0n, 10)).toEqual([1n, 4n, 7n, 10n, 13n]);
        expect(await pages(1n, 2)).toEqual([1n, 4n]);
        expect(await pages(2n, 2)).toEqual([4n, 7n]);
        expect(await pages(13n, 2)).toEqual([13n]);
        expect(await pages(14n, 2)).toEqual([]);
        expect(await pages(2n ** 64n - 1n, 2)).toEqual([]);
      });

      test('are found by any of their LSNs', async () => {
        for (const entry of written) {
          for (const lsn of [entry.first, entry.first + 1n, entry.first + 2n]) {
            expect(await log.entryAt(LANE_0, parseLsn(lsn))).toEqual(entry);
          }
        }
        expect(await log.entryAt(LANE_0, LSN_ZERO)).toBeUndefined();
        expect(await log.entryAt(LANE_0, parseLsn(16))).toBeUndefined();
      });

      test('of one lane are not those of another', async () => {
        const lane = parseLaneId('1');
        expect(await log.head(lane)).toEqual(emptyHead(group, lane));
        await fill(log, ['other'], { lane });
        await log.seal(lane, E3);
        await fill(log, ['another'], { lane, epoch: E3 });
        await trimTo(log, subject.keep(log), parseLsn(4), lane);
        await subject.keep(log).nextGeneration(lane, E3);
        expect(await allEntries(log)).toEqual(written);
        expect(await log.head(LANE_0)).toMatchObject({
          firstLsn: 1n,
          lastLsn: 15n,
          sealedEpoch: 1,
          generation: 0,
        });
        expect(await log.entries(lane, LSN_ZERO, 10)).toHaveLength(1);
      });

      test('of one group are not those of another', async () => {
        const other = subject.open(freshGroup());
        expect(await allEntries(other)).toEqual([]);
        await other.seal(LANE_0, E3);
        expect((await log.head(LANE_0)).sealedEpoch).toBe(1);
      });
    });

    describe('seal', () => {
      test('of a log that nobody has written to holds for its first writer', async () => {
        const empty = await log.head(LANE_0);
        const early = await appendOne('early');
        expect(await log.seal(LANE_0, E2)).toEqual({ kind: 'sealed', head: { ...empty, sealedEpoch: 2 } });
        expect((await early.send()).kind).toBe('fenced');
        await fill(log, ['a'], { epoch: E2 });
        expect((await log.head(LANE_0)).lastLsn).toBe(3n);
      });

      test('may be repeated, and gives way to a later epoch', async () => {
        await fill(log, ['a']);
        const sealed = await log.seal(LANE_0, E2);
        expect(await log.seal(LANE_0, E2)).toEqual(sealed);
        expect(await log.seal(LANE_0, E1)).toEqual({ kind: 'superseded', head: sealed.head });
        expect(await log.seal(LANE_0, E3)).toEqual({
          kind: 'sealed',
          head: { ...sealed.head, sealedEpoch: 3 },
        });
      });

      test('of several epochs at a time ends at the highest', async () => {
        await Promise.all([E2, E3, E1, E3, E2].map((epoch) => log.seal(LANE_0, epoch)));
        expect((await log.head(LANE_0)).sealedEpoch).toBe(3);
      });
    });

    describe('retention', () => {
      logKeeperContract(() => {
        const opened = subject.open(freshGroup());
        return { log: opened, keeper: subject.keep(opened) };
      });
    });

    describe('rebase', () => {
      test('takes the place of another log and goes on with its entries', async () => {
        const other = subject.open(group, 'second');
        await fill(other, names('e', 4));
        await fill(log, ['e0']);
        const own = await log.head(LANE_0);
        const onto = await other.head(LANE_0);
        const based = await log.rebase(LANE_0, own, onto);
        expect(based).toEqual({ ...onto, firstLsn: 13n });
        expect(await log.head(LANE_0)).toEqual(based);
        expect(await allEntries(log)).toEqual([]);
        const [next] = await fill(other, ['next']);
        expect((await log.append(LANE_0, based, [next!], E1)).kind).toBe('appended');
        expect((await log.head(LANE_0)).chain).toBe((await other.head(LANE_0)).chain);
      });

      test('of a log that reaches beyond the other leaves nothing of it behind', async () => {
        const other = subject.open(group, 'second');
        await fill(other, ['x', 'y']);
        await fill(log, names('e', 5));
        const based = await log.rebase(LANE_0, await log.head(LANE_0), await other.head(LANE_0));
        expect(await allEntries(log)).toEqual([]);
        const [next] = await fill(other, ['next']);
        expect((await log.append(LANE_0, based, [next!], E1)).kind).toBe('appended');
        expect(await allEntries(log)).toEqual([next]);
      });

      test('of a log that was never written takes the other place, too', async () => {
        const other = subject.open(group, 'second');
        await fill(other, names('e', 2));
        const onto = await other.head(LANE_0);
        expect(await log.rebase(LANE_0, await log.head(LANE_0), onto)).toEqual({ ...onto, firstLsn: 7n });
      });

      test('is refused where the head is not the one expected any more', async () => {
        const other = subject.open(group, 'second');
        await fill(other, names('e', 4));
        const onto = await other.head(LANE_0);
        const start = await log.head(LANE_0);
        await fill(log, ['e0', 'e1']);
        const appended = await log.head(LANE_0);
        expect(await log.rebase(LANE_0, start, onto)).toEqual(appended);
        const { head: sealed } = await log.seal(LANE_0, E2);
        expect(await log.rebase(LANE_0, appended, onto)).toEqual(sealed);
        const trimmed = await trimTo(log, subject.keep(log), parseLsn(4));
        expect(await log.rebase(LANE_0, sealed, onto)).toEqual(trimmed);
        expect(await log.head(LANE_0)).toEqual(trimmed);
        expect(await allEntries(log)).toHaveLength(1);
      });

      test('keeps the higher seal of the two', async () => {
        const other = subject.open(group, 'second');
        await fill(other, names('e', 2), { epoch: E2 });
        const { head: own } = await log.seal(LANE_0, E3);
        const onto = await other.head(LANE_0);
        expect((await log.rebase(LANE_0, own, onto)).sealedEpoch).toBe(3);
        expect((await log.head(LANE_0)).sealedEpoch).toBe(3);
      });

      test('keeps an LSN of 64 bits and a size of many digits', async () => {
        const lastLsn = parseLsn(2n ** 63n + 12_345n);
        const onto = {
          ...(await log.head(LANE_0)),
          lastLsn,
          totalBytes: 10n ** 24n + 7n,
          chain: 'a'.repeat(64),
        };
        const based = await log.rebase(LANE_0, await log.head(LANE_0), onto);
        expect(await log.head(LANE_0)).toEqual(based);
        expect(based.lastLsn).toBe(lastLsn);
        const [entry] = await fill(log, ['far']);
        expect(await log.entryAt(LANE_0, parseLsn(lastLsn + 2n))).toEqual(entry);
        expect(await log.head(LANE_0)).toMatchObject({
          lastLsn: lastLsn + 3n,
          totalBytes: 10n ** 24n + 107n,
        });
      });
    });

    describe('rewind', () => {
      let written: readonly Entry[];
      beforeEach(async () => {
        written = await fill(log, names('e', 5));
      });

      test('goes back to the end of an entry, and what came after it is gone', async () => {
        const head = await log.head(LANE_0);
        const back = await log.rewind(LANE_0, head, written[1]!);
        expect(back).toEqual({
          ...headAfter(head, written[1]!),
          lastCommitMs: written[1]!.maxCommitMs,
          marks: head.marks,
        });
        expect(await log.head(LANE_0)).toEqual(back);
        expect(await allEntries(log)).toEqual(written.slice(0, 2));
        expect(await log.entryAt(LANE_0, parseLsn(7))).toBeUndefined();
      });

      test('lets the log go on from there with other entries, or with those that it had', async () => {
        const head = await log.head(LANE_0);
        await log.rewind(LANE_0, head, written[1]!);
        const [other] = await fill(log, ['other'], { epoch: E2 });
        expect(other!.first).toBe(7n);
        await log.rewind(LANE_0, await log.head(LANE_0), written[1]!);
        expect((await log.append(LANE_0, await log.head(LANE_0), [written[2]!], E2)).kind).toBe('appended');
        expect(await allEntries(log)).toEqual(written.slice(0, 3));
      });

      test('keeps the seal', async () => {
        const { head } = await log.seal(LANE_0, E2);
        expect((await log.rewind(LANE_0, head, written[0]!)).sealedEpoch).toBe(2);
        const old = await appendOne('old', E1);
        expect((await old.send()).kind).toBe('fenced');
      });

      test('is refused where the head is not the one expected any more', async () => {
        const head = await log.head(LANE_0);
        await fill(log, ['next']);
        const next = await log.head(LANE_0);
        expect(await log.rewind(LANE_0, head, written[1]!)).toEqual(next);
        const { head: sealed } = await log.seal(LANE_0, E2);
        expect(await log.rewind(LANE_0, next, written[1]!)).toEqual(sealed);
        expect(await log.head(LANE_0)).toEqual(sealed);
        expect(await allEntries(log)).toHaveLength(6);
      });

      test('may be repeated, and to where the log ends changes nothing', async () => {
        const head = await log.head(LANE_0);
        expect(await log.rewind(LANE_0, head, written[4]!)).toEqual(head);
        const back = await log.rewind(LANE_0, head, written[2]!);
        expect(await log.rewind(LANE_0, head, written[2]!)).toEqual(back);
        expect(await log.rewind(LANE_0, back, written[2]!)).toEqual(back);
        expect(await allEntries(log)).toEqual(written.slice(0, 3));
      });

      test('that is repeated after the log has gone on takes nothing of that', async () => {
        const head = await log.head(LANE_0);
        await log.rewind(LANE_0, head, written[1]!);
        await fill(log, names('n', 2), { epoch: E2 });
        const next = await log.head(LANE_0);
        expect(await log.rewind(LANE_0, head, written[1]!)).toEqual(next);
        expect(await allEntries(log)).toHaveLength(4);
      });

      test('of hundreds of entries unlinks them all', async () => {
        let head = await log.head(LANE_0);
        for (let run = 0; run < 3; run++) {
          const entries = placeAll(
            head,
            names(`r${run}-`, MAX_APPEND).map((name) => draft(name, { count: 1 })),
          );
          head = (await log.append(LANE_0, head, entries, E1)).head;
        }
        await log.rewind(LANE_0, head, written[0]!);
        expect(await allEntries(log)).toEqual(written.slice(0, 1));
      });

      test('leaves other lanes alone', async () => {
        const lane = parseLaneId('1');
        await fill(log, ['other', 'lane'], { lane });
        await log.rewind(LANE_0, await log.head(LANE_0), written[0]!);
        expect(await allEntries(log, lane)).toHaveLength(2);
      });

      test('gives the same as the log that never had the tail', async () => {
        const other = subject.open(group, 'second');
        for (const entry of written.slice(0, 2))
          await other.append(LANE_0, await other.head(LANE_0), [entry], E1);
        await log.rewind(LANE_0, await log.head(LANE_0), written[1]!);
        const { marks: _, ...back } = await log.head(LANE_0);
        expect(await other.head(LANE_0)).toMatchObject(back);
        expect(await allEntries(log)).toEqual(await allEntries(other));
      });
    });

    test('two logs of a group that take the same entries stay equal, entry by entry and head by head', async () => {
      const other = subject.open(group, 'second');
      for (const size of [1, 3, 2]) {
        const head = await log.head(LANE_0);
        const entries = placeAll(
          head,
          names(`${size}-`, size).map((name) => draft(name)),
        );
        await log.append(LANE_0, head, entries, E1);
        await other.append(LANE_0, await other.head(LANE_0), entries, E1);
      }
      expect(await allEntries(other)).toEqual(await allEntries(log));
      expect(await other.head(LANE_0)).toEqual(await log.head(LANE_0));
    });
  });
}
