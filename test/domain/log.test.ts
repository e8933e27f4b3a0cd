import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LANE_0, parseGroupId, parseLaneId } from '#lib/domain/ids.ts';
import {
  append,
  continues,
  type Entry,
  emptyHead,
  type Head,
  headAfter,
  lastOf,
  nextGeneration,
  place,
  rebase,
  seal,
  unlink,
} from '#lib/domain/log.ts';
import { EPOCH_ZERO, LSN_ZERO, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { isCaptured } from '#lib/domain/marks.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { draft, E1, E2, E3, GROUP, names, placeAll } from '../support/log-history.ts';
import { anyOperations, perform, type Step } from '../support/log-operations.ts';

const EMPTY = emptyHead(GROUP, LANE_0);

function committed(head: Head, entries: readonly Entry[], authority = E1): Head {
  const outcome = append(head, entries, authority);
  if (outcome.kind !== 'appended' || outcome.again) throw new Error(outcome.kind);
  return outcome.head;
}

/** The chain by its definition, written down a second time. */
function chainOf(entry: Entry): string {
  const { prev, first, count, bytes, totalBytes, epoch, hash, minCommitMs, maxCommitMs, marks } = entry;
  const sorted = Object.keys(marks)
    .sort()
    .map((shard) => [shard, marks[shard]!.sequence, marks[shard]!.atMs]);
  const text = JSON.stringify([
    prev,
    `${first}`,
    count,
    bytes,
    `${totalBytes}`,
    epoch,
    hash,
    minCommitMs,
    maxCommitMs,
    sorted,
  ]);
  return createHash('sha256').update(text).digest('hex');
}

describe('an empty log', () => {
  test('ends at 0, is sealed by nobody, and has a chain of its own per group and lane', () => {
    expect(EMPTY).toMatchObject({
      firstLsn: 1n,
      lastLsn: 0n,
      lastEpoch: 0,
      sealedEpoch: 0,
      totalBytes: 0n,
      marks: {},
    });
    const chains = new Set([
      EMPTY.chain,
      emptyHead(GROUP, parseLaneId('1')).chain,
      emptyHead(parseGroupId('orders-1'), LANE_0).chain,
    ]);
    expect(chains.size).toBe(3);
  });
});

describe('append', () => {
  test('moves the head by count, bytes, chain and marks, and raises the seal to its authority', () => {
    const entry = place(EMPTY, draft('a', { count: 5, bytes: 70 }), E1);
    const head = committed(EMPTY, [entry], E2);
    expect(entry).toMatchObject({
      first: 1n,
      epoch: 1,
      prev: EMPTY.chain,
      totalBytes: 70n,
      chain: chainOf(entry),
    });
    expect(head).toEqual({
      firstLsn: 1n,
      lastLsn: 5n,
      lastEpoch: 1,
      sealedEpoch: 2,
      chain: entry.chain,
      totalBytes: 70n,
      lastCommitMs: entry.maxCommitMs,
      marks: entry.marks,
      generation: 0,
      unlinkedAtMs: 0,
    });
  });

  test('of nothing changes nothing', () => {
    expect(append(EMPTY, [], E1)).toEqual({ kind: 'appended', head: EMPTY, again: true });
  });

  test('below the seal is fenced, at the seal and above it is not', () => {
    const sealed = { ...EMPTY, sealedEpoch: E2 };
    expect(append(sealed, [place(sealed, draft('a'), E1)], E1)).toEqual({ kind: 'fenced', head: sealed });
    expect(append(sealed, [place(sealed, draft('a'), E2)], E2).kind).toBe('appended');
    expect(append(sealed, [place(sealed, draft('a'), E3)], E3).kind).toBe('appended');
  });

  test('of history in the name of a newer epoch is what a relay does; of the future, in an older name, is not', () => {
    const sealed = { ...EMPTY, sealedEpoch: E2 };
    expect(append(sealed, [place(sealed, draft('a'), E1)], E2).kind).toBe('appended');
    expect(append(EMPTY, [place(EMPTY, draft('a'), E3)], E2).kind).toBe('fenced');
  });

  test('never takes the epoch back', () => {
    const head = committed(EMPTY, [place(EMPTY, draft('a'), E2)], E2);
    expect(append(head, [place(head, draft('b'), E1)], E2).kind).toBe('moved');
    const [first, second] = [
      place(head, draft('b'), E3),
      place(headAfter(head, place(head, draft('b'), E3)), draft('c'), E2),
    ];
    expect(append(head, [first, second], E3).kind).toBe('moved');
  });

  test('of several of which one does not fit is of none', () => {
    const entries = placeAll(
      EMPTY,
      names('e', 4).map((name) => draft(name)),
    );
    for (let bad = 0; bad < entries.length; bad++) {
      const broken = entries.map((entry, index) =>
        index === bad ? { ...entry, prev: 'f'.repeat(64) } : entry,
      );
      expect(append(EMPTY, broken, E1)).toEqual({ kind: 'moved', head: EMPTY });
    }
    expect(append(EMPTY, [...entries.slice(0, 2), entries[3]!], E1).kind).toBe('moved');
    expect(append(EMPTY, [entries[1]!, entries[0]!], E1).kind).toBe('moved');
  });

  test('of an entry that somebody has tampered with is refused, whatever field it is', () => {
    const entry = place(EMPTY, draft('a'), E1);
    const changes: Partial<Entry>[] = [
      { hash: 'f'.repeat(64) },
      { count: 4 },
      { count: 0 },
      { count: -3 },
      { bytes: 101 },
      { minCommitMs: 0 },
      { maxCommitMs: entry.maxCommitMs + 1 },
      { marks: {} },
      { marks: { 'shard-1': { ...entry.marks['shard-1']!, sequence: '2' } } },
      { first: parseLsn(2) },
      { first: LSN_ZERO },
      { epoch: EPOCH_ZERO },
      { prev: 'f'.repeat(64) },
      { chain: 'f'.repeat(64) },
      { totalBytes: 99n },
    ];
    expect(continues(EMPTY, [entry])).toBe(true);
    for (const change of changes) expect(continues(EMPTY, [{ ...entry, ...change }])).toBe(false);
  });

  test('of an entry that is whole in itself and made for another head is refused', () => {
    const heads: Head[] = [
      { ...EMPTY, lastLsn: parseLsn(1) },
      { ...EMPTY, chain: 'f'.repeat(64) },
      { ...EMPTY, totalBytes: 1n },
    ];
    for (const head of heads) {
      const entry = place(head, draft('a'), E1);
      expect(continues(head, [entry])).toBe(true);
      expect(append(EMPTY, [entry], E1)).toEqual({ kind: 'moved', head: EMPTY });
    }
  });

  test('has one chain, however the shards of its marks are ordered', () => {
    const marks = { b: { sequence: '1', atMs: 1 }, a: { sequence: '2', atMs: 2 } };
    const turned = { a: marks.a, b: marks.b };
    expect(place(EMPTY, draft('x', { marks }), E1).chain).toBe(
      place(EMPTY, draft('x', { marks: turned }), E1).chain,
    );
  });
});

describe('seal', () => {
  test('raises, repeats, and gives way to a higher one', () => {
    const sealed = seal(EMPTY, E2);
    expect(sealed).toEqual({ kind: 'sealed', head: { ...EMPTY, sealedEpoch: 2 } });
    expect(seal(sealed.head, E2)).toEqual(sealed);
    expect(seal(sealed.head, E1)).toEqual({ kind: 'superseded', head: sealed.head });
  });
});

describe('unlink', () => {
  const entries = placeAll(
    EMPTY,
    names('e', 3).map((name) => draft(name, { count: 2 })),
  );
  const head = committed(EMPTY, entries);

  test.each([
    ['the first entry', 1n, 1n],
    ['an entry', 3n, 3n],
    ['the last entry', 5n, 5n],
  ])('before %s leaves what comes after', (_, first, expected) => {
    const outcome = unlink(head, parseLsn(first), E1, 42);
    if (first === 1n) expect(outcome).toEqual({ kind: 'moved', head });
    else expect(outcome).toEqual({ kind: 'kept', head: { ...head, firstLsn: expected, unlinkedAtMs: 42 } });
  });

  test.each([7n, 8n, 0n])('at %s, beyond the newest entry or before the first, changes nothing', (first) => {
    expect(unlink(head, parseLsn(first), E1, 42)).toEqual({ kind: 'moved', head });
  });

  test('never brings back what is gone', () => {
    const { head: trimmed } = unlink(head, parseLsn(5), E1, 42);
    expect(unlink(trimmed, parseLsn(3), E1, 43)).toEqual({ kind: 'moved', head: trimmed });
  });

  test('and a new generation are refused in the name of an epoch below the seal', () => {
    const sealed = { ...head, sealedEpoch: E3 };
    expect(unlink(sealed, parseLsn(3), E1, 42)).toEqual({ kind: 'fenced', head: sealed });
    expect(nextGeneration(sealed, E1)).toEqual({ kind: 'fenced', head: sealed });
    expect(nextGeneration(sealed, E3).head).toEqual({ ...sealed, generation: 1 });
  });
});

describe('rebase', () => {
  const onto = { ...committed(EMPTY, placeAll(EMPTY, [draft('a'), draft('b')])), sealedEpoch: E1 };

  test('takes the other position, holds nothing before it, and keeps the higher seal', () => {
    expect(rebase(EMPTY, onto)).toEqual({ ...onto, firstLsn: 7n });
    expect(rebase({ ...EMPTY, sealedEpoch: E3 }, onto)).toEqual({ ...onto, firstLsn: 7n, sealedEpoch: 3 });
    expect(rebase(EMPTY, { ...onto, sealedEpoch: E3 }).sealedEpoch).toBe(3);
    // Objects and entries are the Region's own.
    const own = { ...EMPTY, generation: 4, unlinkedAtMs: 9 };
    expect(rebase(own, { ...onto, generation: 7, unlinkedAtMs: 8 })).toMatchObject({
      generation: 4,
      unlinkedAtMs: 9,
    });
  });

  test('goes on with the very entries of the other log', () => {
    const entry = place(onto, draft('c'), E1);
    expect(committed(rebase(EMPTY, onto), [entry]).chain).toBe(committed(onto, [entry]).chain);
  });
});

describe('whatever several writers do', () => {
  /** Runs the operations on the transitions (the twin adds nothing but a map) and hands over all that committed. */
  const property = (check: (steps: readonly Step[], journal: readonly Entry[]) => void) =>
    fc.assert(
      fc.asyncProperty(anyOperations(40), async (operations) => {
        const log = new MemoryLog(GROUP);
        const steps = await perform(log, log, operations);
        const journal = steps.flatMap(({ outcome, sent }) =>
          sent && outcome?.kind === 'appended' && !outcome.again ? sent.entries : [],
        );
        check(steps, journal);
      }),
      { numRuns: 300 },
    );

  test('LSNs are contiguous and the chain matches from the first entry to the head', () =>
    property((steps, journal) => {
      let at = EMPTY;
      for (const entry of journal) {
        expect(entry.first).toBe(at.lastLsn + 1n);
        expect(entry.prev).toBe(at.chain);
        expect(entry.chain).toBe(chainOf(entry));
        expect(lastOf(entry)).toBe(entry.first + BigInt(entry.count) - 1n);
        at = headAfter(at, entry);
      }
      const end = steps.at(-1)!.after;
      expect([end.lastLsn, end.chain, end.totalBytes, end.marks]).toEqual([
        at.lastLsn,
        at.chain,
        at.totalBytes,
        at.marks,
      ]);
    }));

  test('epochs never go back, and nothing below the seal commits', () =>
    property((steps, journal) => {
      const epochs = journal.map(({ epoch }) => epoch);
      expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
      for (const { before, outcome, sent } of steps) {
        if (sent === undefined || outcome?.kind !== 'appended' || outcome.again) continue;
        expect(sent.authority).toBeGreaterThanOrEqual(before.sealedEpoch);
      }
    }));

  test('seal, end and retention only ever move forward, and marks never go back', () =>
    property((steps) => {
      for (const { before, after } of steps) {
        expect(after.sealedEpoch).toBeGreaterThanOrEqual(before.sealedEpoch);
        expect(after.lastLsn).toBeGreaterThanOrEqual(before.lastLsn);
        expect(after.firstLsn).toBeGreaterThanOrEqual(before.firstLsn);
        expect(after.generation).toBeGreaterThanOrEqual(before.generation);
        for (const [shard, mark] of Object.entries(before.marks)) {
          expect(isCaptured(after.marks, shard, mark.sequence)).toBe(true);
        }
      }
    }));

  test('an append that committed is never repeated, and a refused one changes nothing', () =>
    property((steps, journal) => {
      expect(new Set(journal.map(({ chain }) => chain)).size).toBe(journal.length);
      for (const { before, after, outcome, operation } of steps) {
        if (outcome === undefined) continue;
        expect(outcome.head).toEqual(after);
        const changed =
          ['sealed', 'kept'].includes(outcome.kind) || (outcome.kind === 'appended' && !outcome.again);
        if (!changed) expect(after, operation.kind).toEqual(before);
      }
    }));

  test('a retry of a committed append that is still there is known as such, whoever has appended since', () =>
    property((steps) => {
      let held: Entry[] = [];
      for (const { after, outcome, sent } of steps) {
        if (sent?.again && held.some(({ chain }) => chain === sent.entries.at(-1)!.chain)) {
          expect(outcome).toEqual({ kind: 'appended', head: after, again: true });
        }
        if (sent && outcome?.kind === 'appended' && !outcome.again) held.push(...sent.entries);
        held = held.filter(({ first }) => first >= after.firstLsn);
      }
    }));

  test('a writer is told that it is fenced only by a seal above its epoch', () =>
    property((steps) => {
      for (const { before, operation, outcome, sent } of steps) {
        const authority = sent?.authority ?? ('epoch' in operation ? operation.epoch : Number.NaN);
        if (outcome?.kind === 'fenced') expect(before.sealedEpoch).toBeGreaterThan(authority);
      }
    }));

  test('an append commits in the generation for which it was prepared, or not at all', () =>
    property((steps) => {
      for (const { before, outcome, sent } of steps) {
        if (sent === undefined || outcome?.kind !== 'appended' || outcome.again) continue;
        expect(sent.expected.generation).toBe(before.generation);
      }
    }));

  test('retention keeps the newest entry and acts in no name below the seal', () =>
    property((steps) => {
      for (const { before, after, operation, outcome } of steps) {
        if (outcome?.kind !== 'kept') continue;
        expect(after.firstLsn).toBeLessThanOrEqual(after.lastLsn === 0n ? 1n : after.lastLsn);
        expect((operation as { epoch: number }).epoch).toBeGreaterThanOrEqual(before.sealedEpoch);
      }
    }));
});

test('the epoch of a head is the one of its newest entry, not that of its seal', () => {
  const head = committed(EMPTY, [place(EMPTY, draft('a'), E1)], parseEpoch(9));
  expect([head.lastEpoch, head.sealedEpoch]).toEqual([1, 9]);
});
