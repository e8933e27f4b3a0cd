import { describe, expect, test } from 'vitest';
import { parseLsn } from '#lib/domain/lsn.ts';
import type { DigestSource, PairedDigests } from '#lib/ports/digest-source.ts';
import { verifyAtLsn } from '#lib/usecases/verify-at-lsn.ts';

type Rows = Readonly<Record<string, string>>;
type Look = {
  readonly ours: Rows;
  readonly theirs: Rows;
  readonly rows?: Readonly<Record<string, 'there' | 'gone'>>;
  readonly tables?: readonly string[];
};

/** All rows in one bucket. */
function source(rows: Rows): DigestSource {
  const text = JSON.stringify(Object.entries(rows).sort());
  return {
    buckets: async () => [
      { rows: Object.keys(rows).length, digest: Buffer.from(text).toString('hex') || '00' },
    ],
    rows: async () => new Map(Object.entries(rows)),
    recheck: async (keys) => new Map(keys.map((key) => [key, rows[key]])),
  };
}

/** Verifies with one look after the other, of which the last is had for good. */
async function verified(rechecks: number, ...looks: readonly Look[]) {
  let at = 0;
  let open = 0;
  const result = await verifyAtLsn(
    async (): Promise<PairedDigests> => {
      const { ours, theirs, rows = {}, tables = [] } = looks[Math.min(at, looks.length - 1)]!;
      at += 1;
      open += 1;
      return {
        lsn: parseLsn(`${at * 10}`),
        ours: source(ours),
        theirs: source(theirs),
        strays: [],
        changes: async () => ({ rows: new Map(Object.entries(rows)), tables }),
        close: async () => {
          open -= 1;
        },
      };
    },
    { rechecks, pause: async () => {} },
  );
  expect(open).toBe(0);
  return { ...result, looks: at };
}

const SAME = { 't 1': 'a', 't 2': 'b' };

describe('a follower is compared with its leader at one LSN', () => {
  test('once, where it stands there', async () => {
    const result = await verified(5, { ours: SAME, theirs: SAME });
    expect(result).toMatchObject({ equal: true, lsn: 10n, rechecked: 0, changing: 0, looks: 1 });
  });

  test('and a row that the log has not touched since differs at once', async () => {
    const theirs = { 't 1': 'x', 't 3': 'c' };
    expect(await verified(5, { ours: SAME, theirs, rows: { 't 9': 'gone' } })).toMatchObject({
      equal: false,
      differences: [
        { key: 't 1', kind: 'differs' },
        { key: 't 2', kind: 'missing' },
        { key: 't 3', kind: 'extra' },
      ],
    });
  });

  test('and rows that it has changed since are compared at another', async () => {
    const first: Look = {
      ours: SAME,
      theirs: { 't 1': 'new' },
      rows: { 't 1': 'there', 't 2': 'gone' },
    };
    const second = { 't 1': 'new' };
    const result = await verified(5, first, { ours: second, theirs: second });
    expect(result).toMatchObject({
      equal: true,
      lsn: 10n,
      rechecked: 2,
      recheckedAt: 20n,
      changing: 0,
      looks: 2,
    });
  });

  test('and a change that has not arrived is found, though what was there before is equal', async () => {
    const first: Look = { ours: SAME, theirs: SAME, rows: { 't 1': 'there' } };
    const result = await verified(5, first, { ours: { ...SAME, 't 1': 'new' }, theirs: SAME });
    expect(result.differences).toEqual([{ key: 't 1', kind: 'differs' }]);
  });

  test('and a row that changes at each look is counted apart, if it is where the log says', async () => {
    const look: Look = { ours: SAME, theirs: { ...SAME, 't 1': 'new' }, rows: { 't 1': 'there' } };
    expect(await verified(3, look)).toMatchObject({ equal: true, changing: 1, looks: 4 });
  });

  test.each<[string, Look, 'missing' | 'extra']>([
    ['missing', { ours: SAME, theirs: { 't 2': 'b' }, rows: { 't 1': 'there' } }, 'missing'],
    [
      'missing in both',
      { ours: { 't 2': 'b' }, theirs: { 't 2': 'b' }, rows: { 't 1': 'there' } },
      'missing',
    ],
    ['left over', { ours: SAME, theirs: SAME, rows: { 't 1': 'gone' } }, 'extra'],
    [
      'missing, in a table that changes as a whole',
      { ours: SAME, theirs: { 't 2': 'b' }, tables: ['t'] },
      'missing',
    ],
    [
      'missing, in such a table, though the log told of it',
      { ours: SAME, theirs: { 't 2': 'b' }, rows: { 't 1': 'there' }, tables: ['t'] },
      'missing',
    ],
  ])('and a row that is %s does not pass for one that changes', async (_, look, kind) => {
    expect((await verified(2, look)).differences).toEqual([{ key: 't 1', kind }]);
  });

  test('and of a table that changes as a whole only what differs is looked at again', async () => {
    const first: Look = { ours: SAME, theirs: { ...SAME, 't 1': 'new', 'tt 1': 'x' }, tables: ['t'] };
    const result = await verified(5, first, { ours: SAME, theirs: SAME });
    expect(result).toMatchObject({ rechecked: 1, differences: [{ key: 'tt 1', kind: 'extra' }] });
  });
});
