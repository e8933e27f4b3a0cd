import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { type Head, place } from '#lib/domain/log.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { MAX_APPEND } from '#lib/ports/replica-log.ts';
import { relay } from '#lib/usecases/relay.ts';
import { intercepted } from '../support/intercepted-log.ts';
import {
  allEntries,
  draft,
  E1,
  E2,
  E3,
  fill,
  GROUP,
  names,
  placeAll,
  segment,
  trimTo,
} from '../support/log-history.ts';

let from: MemoryLog;
let to: MemoryLog;
beforeEach(() => {
  from = new MemoryLog(GROUP);
  to = new MemoryLog(GROUP);
});

async function expectEqualLogs(): Promise<void> {
  const entries = await allEntries(from);
  expect(await allEntries(to)).toEqual(entries);
  const [a, b] = [await from.head(LANE_0), await to.head(LANE_0)];
  expect([b.lastLsn, b.chain, b.marks, b.totalBytes]).toEqual([a.lastLsn, a.chain, a.marks, a.totalBytes]);
  for (const entry of entries) expect(await to.getSegment(entry)).toEqual(await from.getSegment(entry));
}

/** Counts the calls of a log that cross Regions. */
function counted(log: MemoryLog) {
  const calls = { head: 0, append: 0, putSegment: 0 };
  const count =
    (name: keyof typeof calls) =>
    <A extends unknown[], R>(next: (...args: A) => R) =>
    (...args: A): R => {
      calls[name]++;
      return next(...args);
    };
  return {
    calls,
    log: intercepted(log, { head: count('head'), append: count('append'), putSegment: count('putSegment') }),
  };
}

describe('a relay', () => {
  test('repairs any gap, from any head that the receiver ever had', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(130), fc.nat(130), fc.option(fc.nat(130)), async (a, b, c) => {
        const [size, have] = [Math.max(a, b), Math.min(a, b)];
        from = new MemoryLog(GROUP);
        to = new MemoryLog(GROUP);
        const heads: Head[] = [await to.head(LANE_0)];
        for (const [index, name] of names('e', size).entries()) {
          const [entry] = await fill(from, [name], { count: 1 + (index % 5) });
          if (index >= have) continue;
          const head = heads.at(-1)!;
          await to.putSegment(entry!.hash, segment(name).bytes, head);
          heads.push((await to.append(LANE_0, head, [entry!], E1)).head);
        }
        const known = c === null ? undefined : heads[c % heads.length];
        const missing = (await from.head(LANE_0)).lastLsn - heads.at(-1)!.lastLsn;
        const relayed = await relay(from, to, LANE_0, E1, known);
        expect(relayed).toMatchObject({
          kind: 'current',
          records: Number(missing),
          head: await to.head(LANE_0),
        });
        await expectEqualLogs();
        expect(await relay(from, to, LANE_0, E1)).toMatchObject({ kind: 'current', records: 0 });
      }),
      { numRuns: 60 },
    );
  });

  test('of many entries takes as few appends as the limits allow, and none when there is nothing to do', async () => {
    await fill(from, names('e', 2 * MAX_APPEND + 1));
    const { calls, log } = counted(to);
    const { head } = await relay(from, log, LANE_0, E1);
    expect(calls).toEqual({ head: 1, append: 3, putSegment: 2 * MAX_APPEND + 1 });
    await relay(from, log, LANE_0, E1, head);
    expect(calls).toEqual({ head: 1, append: 3, putSegment: 2 * MAX_APPEND + 1 });
  });

  test('carries no more bytes in one append than its bound, unless a single segment is larger', async () => {
    const MiB = 1 << 20;
    for (const [index, size] of [20, 10, 2, 1, 40, 40, 16, 16, 1].entries()) {
      await fill(from, [`e${index}`], { bytes: size * MiB });
    }
    const sizes: number[][] = [];
    const log = intercepted(to, {
      append: (next) => (lane, head, entries, epoch) => {
        sizes.push(entries.map(({ bytes }) => bytes / MiB));
        return next(lane, head, entries, epoch);
      },
    });
    expect((await relay(from, log, LANE_0, E1)).kind).toBe('current');
    expect(sizes).toEqual([[20, 10, 2], [1], [40], [40], [16, 16], [1]]);
    await expectEqualLogs();
  });

  test('puts every segment before the entry that names it', async () => {
    await fill(from, names('e', 60));
    const put = new Set<string>();
    const log = intercepted(to, {
      putSegment: (next) => async (hash, bytes, at) => {
        await Promise.resolve();
        const kept = await next(hash, bytes, at);
        put.add(hash);
        return kept;
      },
      append: (next) => (lane, head, entries, epoch) => {
        expect(entries.filter(({ hash }) => !put.has(hash))).toEqual([]);
        return next(lane, head, entries, epoch);
      },
    });
    await relay(from, log, LANE_0, E1);
    await expectEqualLogs();
  });

  test.each([
    ['from entries to entries', 3000, 3000],
    ['from objects to entries', 0, 3000],
    ['from entries to objects', 3000, 0],
    ['only those that are small for the receiver', 3000, segment('e1').bytes.length],
  ])('copies small segments %s', async (_, there, here) => {
    from = new MemoryLog(GROUP, there);
    to = new MemoryLog(GROUP, here);
    await fill(from, ['e1', 'e2', 'longer', 'e1']);
    await relay(from, to, LANE_0, E1);
    const [sent, got] = [await allEntries(from), await allEntries(to)];
    expect(got.map(({ chain }) => chain)).toEqual(sent.map(({ chain }) => chain));
    for (const entry of got) {
      const { bytes } = segment(['e1', 'e2', 'longer', 'e1'][got.indexOf(entry)]!);
      expect(await to.getSegment(entry)).toEqual(bytes);
      expect(entry.segment).toEqual(bytes.length <= here ? bytes : undefined);
    }
    const objects = new Set(got.filter((entry) => entry.segment === undefined).map(({ hash }) => hash));
    expect((await to.segments()).map(({ hash }) => hash).toSorted()).toEqual([...objects].toSorted());
  });

  test('with a segment that the sender has lost appends nothing of that run', async () => {
    await fill(from, names('e', 3));
    const lossy = intercepted(from, {
      getSegment: (next) => (entry) => next(entry.hash === segment('e1').hash ? segment('none') : entry),
    });
    await expect(relay(lossy, to, LANE_0, E1)).rejects.toMatchObject({ code: 'SEGMENT_MISSING' });
    expect(await allEntries(to)).toEqual([]);
  });

  test('that races others, from both ends and with stale heads, copies each entry once', async () => {
    await fill(from, names('e', 120));
    const empty = await to.head(LANE_0);
    const runs = await Promise.all([
      relay(from, to, LANE_0, E1),
      relay(from, to, LANE_0, E1, empty),
      relay(from, to, LANE_0, E2),
      relay(from, to, LANE_0, E1),
    ]);
    // The one of a later epoch may fence the others; between them they have done it all.
    expect(runs[2].kind).toBe('current');
    await expectEqualLogs();
  });

  test('that races the writer of the sender catches up with it', async () => {
    const [written] = await Promise.all([
      fill(from, names('e', 150)),
      (async () => {
        for (let i = 0; i < 20; i++) await relay(from, to, LANE_0, E1);
      })(),
    ]);
    expect(written).toHaveLength(150);
    await relay(from, to, LANE_0, E1);
    await expectEqualLogs();
  });

  test('whose answers are lost is done when it is run again', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('ok', 'before', 'after'), { maxLength: 12 }),
        async (fates) => {
          from = new MemoryLog(GROUP);
          to = new MemoryLog(GROUP);
          await fill(from, names('e', 120));
          const next = fates.values();
          const lossy = intercepted(to, {
            append:
              (append) =>
              async (...args) => {
                const fate = next.next().value ?? 'ok';
                if (fate === 'before') throw new Error('not sent');
                const outcome = await append(...args);
                if (fate === 'after') throw new Error('answer lost');
                return outcome;
              },
          });
          for (let tries = 0; tries <= fates.length; tries++) {
            const relayed = await relay(from, lossy, LANE_0, E1).catch(() => undefined);
            if (relayed?.kind === 'current') break;
          }
          await expectEqualLogs();
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('a relay that cannot go on', () => {
  test('is fenced by a receiver that a newer epoch has sealed, and changes nothing', async () => {
    await fill(from, names('e', 3));
    const { head } = await to.seal(LANE_0, E2);
    expect(await relay(from, to, LANE_0, E1)).toEqual({ kind: 'fenced', head, records: 0 });
    expect(await to.head(LANE_0)).toEqual(head);
    // The new epoch's own relay repeats the same history.
    expect((await relay(from, to, LANE_0, E2)).kind).toBe('current');
    await expectEqualLogs();
  });

  test('is fenced in the middle, keeps what it has copied, and says how much that was', async () => {
    await fill(from, names('e', MAX_APPEND + 10));
    let appends = 0;
    const sealing = intercepted(to, {
      append:
        (next) =>
        async (...args) => {
          if (appends++ === 1) await to.seal(LANE_0, E2);
          return next(...args);
        },
    });
    const relayed = await relay(from, sealing, LANE_0, E1);
    expect(relayed).toMatchObject({ kind: 'fenced', records: MAX_APPEND * 3, head: await to.head(LANE_0) });
  });

  test('between logs that hold different records at one LSN says so and changes neither', async () => {
    await fill(from, ['common', 'a', 'b']);
    await fill(to, ['common', 'x']);
    const before = [await from.head(LANE_0), await to.head(LANE_0)];
    expect((await relay(from, to, LANE_0, E1)).kind).toBe('diverged');
    expect((await relay(from, to, LANE_0, E3)).kind).toBe('diverged');
    expect([await from.head(LANE_0), await to.head(LANE_0)]).toEqual(before);
  });

  test('between diverged logs of one length says so, too', async () => {
    await fill(from, ['common', 'a']);
    await fill(to, ['common', 'x']);
    expect((await relay(from, to, LANE_0, E1)).kind).toBe('diverged');
  });

  test('to a log that ends within one of the entries says diverged', async () => {
    await fill(from, ['a'], { count: 5 });
    await fill(to, ['x'], { count: 3 });
    expect((await relay(from, to, LANE_0, E1)).kind).toBe('diverged');
  });

  test('to a log that holds more says so', async () => {
    await fill(from, ['a']);
    await fill(to, ['a', 'b']);
    expect(await relay(from, to, LANE_0, E1)).toMatchObject({
      kind: 'ahead',
      records: 0,
      from: await from.head(LANE_0),
    });
  });

  test('to a log that ends before the sender begins says from where the sender can tell', async () => {
    await fill(from, names('e', 5));
    await trimTo(from, from, parseLsn(7));
    const relayed = await relay(from, to, LANE_0, E1);
    expect(relayed).toEqual({
      kind: 'behind',
      head: await to.head(LANE_0),
      from: await from.head(LANE_0),
      records: 0,
    });
    expect(await allEntries(to)).toEqual([]);
  });

  test('goes on where the sender begins right after the end of the receiver', async () => {
    await fill(from, names('e', 2));
    await relay(from, to, LANE_0, E1);
    await fill(from, ['e2', 'e3']);
    await trimTo(from, from, parseLsn(7));
    expect(await relay(from, to, LANE_0, E1)).toMatchObject({ kind: 'current', records: 6 });
  });

  test('is not judged by a head that has moved since it was seen', async () => {
    const stale = await to.head(LANE_0);
    await fill(from, names('e', 5));
    await relay(from, to, LANE_0, E1);
    await trimTo(from, from, parseLsn(10));
    await fill(from, ['e5']);
    expect(await relay(from, to, LANE_0, E1, stale)).toMatchObject({ kind: 'current', records: 3 });
    // Read by itself, before it slept.
    await fill(from, ['e6']);
    let looks = 0;
    const slept = {
      head: async () => (looks++ === 0 ? stale : to.head(LANE_0)),
      putSegment: to.putSegment.bind(to),
      append: to.append.bind(to),
    };
    expect(await relay(from, slept, LANE_0, E1)).toMatchObject({ kind: 'current', records: 3 });
    expect((await to.head(LANE_0)).lastLsn).toBe(21n);
  });

  test('to an empty pair of logs has nothing to do', async () => {
    expect(await relay(from, to, LANE_0, E1)).toMatchObject({ kind: 'current', records: 0 });
  });
});

test('an entry of a newer epoch than the one in whose name a relay acts is not carried', async () => {
  const head = await from.head(LANE_0);
  await from.putSegment(segment('a').hash, segment('a').bytes, head);
  await from.append(LANE_0, head, [place(head, draft('a'), E3)], E3);
  expect((await relay(from, to, LANE_0, E2)).kind).toBe('fenced');
  expect(await allEntries(to)).toEqual([]);
});

test('a chain of several epochs is carried as it is', async () => {
  await fill(from, ['a'], { epoch: E1 });
  await fill(from, ['b'], { epoch: E2 });
  const head = await from.head(LANE_0);
  for (const name of ['c', 'd']) await from.putSegment(segment(name).hash, segment(name).bytes, head);
  await from.append(LANE_0, head, placeAll(head, [draft('c'), draft('d')], E3), E3);
  expect((await relay(from, to, LANE_0, E3)).kind).toBe('current');
  expect((await allEntries(to)).map(({ epoch }) => epoch)).toEqual([1, 2, 3, 3]);
  await expectEqualLogs();
});
