import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { place } from '#lib/domain/log.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import { stampOf } from '#lib/engines/dynamodb/stamp.ts';
import { AWAY, CaptureFixture, HOME, poison, put, puts, sequenceOf } from '../support/capture-fixture.ts';
import { intercepted } from '../support/intercepted-log.ts';
import { allEntries, draft, E1, E2, names } from '../support/log-history.ts';
import { image, keyBytes, PK, s, streamRecord } from '../support/stream-records.ts';

let fixture: CaptureFixture;
beforeEach(async () => {
  fixture = await new CaptureFixture().lead();
});

describe('a batch', () => {
  test('is logged once, however often it is delivered', async () => {
    expect(await fixture.capture('a', puts(1, 4))).toEqual({ logged: 4 });
    expect(await fixture.capture('a', puts(1, 4))).toEqual({ logged: 0 });
    expect(await fixture.capture('a', puts(1, 4))).toEqual({ logged: 0 });
    expect(await fixture.sequences()).toEqual([1, 2, 3, 4]);
  });

  test('that overlaps what is logged adds what is new', async () => {
    await fixture.capture('a', puts(1, 4));
    expect(await fixture.capture('a', puts(3, 4))).toEqual({ logged: 2 });
    expect(await fixture.capture('a', puts(1, 3))).toEqual({ logged: 0 });
    expect(await fixture.sequences()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('of one shard does not count for another with the same numbers', async () => {
    await fixture.capture('a', puts(1, 2));
    expect(await fixture.capture('b', puts(1, 2))).toEqual({ logged: 2 });
    expect(await fixture.sequences()).toEqual([1, 2, 1, 2]);
  });

  test('of which two deliveries run at the same time is logged once', async () => {
    const outcomes = await Promise.all([1, 2, 3].map(() => fixture.capture('a', puts(1, 4))));
    expect(outcomes.every(({ failedFrom }) => failedFrom === undefined)).toBe(true);
    expect(await fixture.sequences()).toEqual([1, 2, 3, 4]);
  });

  test('of which overlapping parts are delivered at the same time is logged once and in order', async () => {
    await Promise.all([
      fixture.capture('a', puts(1, 6)),
      fixture.capture('a', puts(1, 3)),
      fixture.capture('a', puts(1, 5)),
      fixture.capture('a', puts(1, 1)),
    ]);
    expect(await fixture.sequences()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('without records, or of applied changes alone, appends nothing', async () => {
    const item = { pk: s('k') };
    const stamp = stampOf(E1, parseLsn(1), keyBytes(PK, item));
    const applied = streamRecord(PK, sequenceOf(1), undefined, image({ item, stamp }));
    expect(await fixture.capture('a', [])).toEqual({ logged: 0 });
    expect(await fixture.capture('a', [applied])).toEqual({ logged: 0 });
    expect(await allEntries(fixture.log)).toEqual([]);
  });
});

describe('shards', () => {
  test('that append at the same time through one lane lose and double nothing', async () => {
    const shards = names('shard-', 8);
    await Promise.all(
      shards.map(async (shard) => {
        for (let first = 1; first <= 9; first += 3) await fixture.capture(shard, puts(first, 3));
      }),
    );
    for (const shard of shards) expect(await fixture.sequences(shard)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(Object.keys((await fixture.log.head(LANE_0)).marks)).toHaveLength(8);
  });

  test('that overtake a batch again and again only delay it', async () => {
    let races = 20;
    const racing = intercepted(fixture.log, {
      append: (next) => async (lane, expected, entries, authority) => {
        if (races-- > 0) {
          const head = await fixture.log.head(lane);
          await next(lane, head, [place(head, draft(`rival ${races}`), E1)], E1);
        }
        return next(lane, expected, entries, authority);
      },
    });
    expect(await fixture.capture('a', puts(1, 3), racing)).toEqual({ logged: 3 });
    expect(await allEntries(fixture.log)).toHaveLength(21);
  });

  test('that overtake a batch for ever make it fail in the end, with nothing half-done', async () => {
    let rivals = 0;
    const racing = intercepted(fixture.log, {
      append: (next) => async (lane, expected, entries, authority) => {
        const head = await fixture.log.head(lane);
        await next(lane, head, [place(head, draft(`rival ${rivals++}`), E1)], E1);
        return next(lane, expected, entries, authority);
      },
    });
    await expect(fixture.capture('a', puts(1, 3), racing)).rejects.toMatchObject({
      code: 'LOG_CONTENDED',
      retry: 'now',
    });
    expect((await fixture.log.head(LANE_0)).marks.a).toBeUndefined();
    expect(await fixture.capture('a', puts(1, 3))).toEqual({ logged: 3 });
  });

  test('of which another delivery logs a part between look and append leave the rest to this one', async () => {
    let first = true;
    const racing = intercepted(fixture.log, {
      append:
        (next) =>
        async (...args) => {
          if (first) {
            first = false;
            await fixture.capture('a', puts(1, 3));
          }
          return next(...args);
        },
    });
    expect(await fixture.capture('a', puts(1, 5), racing)).toEqual({ logged: 2 });
    expect(await fixture.sequences()).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('a head that was known from before', () => {
  test('saves the read of the head', async () => {
    const known = await fixture.log.head(LANE_0);
    const unread = intercepted(fixture.log, {
      head: () => async () => expect.unreachable('the head was read'),
    });
    expect(await fixture.capture('a', puts(1, 3), unread, known)).toEqual({ logged: 3 });
  });

  test('may be stale: what others have logged since is not logged again', async () => {
    const known = await fixture.log.head(LANE_0);
    await fixture.capture('a', puts(1, 3));
    await fixture.capture('b', puts(1, 3));
    await fixture.capture('a', puts(1, 3), fixture.log, known);
    expect(await fixture.sequences('a')).toEqual([1, 2, 3]);
    expect(await fixture.capture('a', puts(2, 4), fixture.log, known)).toEqual({ logged: 2 });
    expect(await fixture.sequences('a')).toEqual([1, 2, 3, 4, 5]);
  });

  test('may be stale: a seal since fences all the same', async () => {
    const known = await fixture.log.head(LANE_0);
    await fixture.log.seal(LANE_0, E2);
    await expect(fixture.capture('a', puts(1, 1), fixture.log, known)).rejects.toMatchObject({
      code: 'LOG_FENCED',
    });
  });
});

describe('a crash', () => {
  const failing = (method: 'putSegment' | 'append', when: 'before' | 'after') => {
    let armed = true;
    const fail =
      <A extends unknown[], R>(next: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        const result = armed && when === 'before' ? undefined : await next(...args);
        if (!armed) return result as R;
        armed = false;
        throw new Error('connection lost');
      };
    return intercepted(fixture.log, method === 'append' ? { append: fail } : { putSegment: fail });
  };

  test.each([
    ['before the segment is stored', 'putSegment', 'before'],
    ['between segment and append', 'putSegment', 'after'],
    ['before the append', 'append', 'before'],
    ['after the append, whose answer is lost', 'append', 'after'],
  ] as const)('%s leads to one logged batch once it is delivered again', async (_, method, when) => {
    await fixture.capture('a', puts(1, 2));
    const broken = failing(method, when);
    await expect(fixture.capture('a', puts(1, 5), broken)).rejects.toThrow('connection lost');
    await fixture.capture('b', puts(7, 2));
    await fixture.capture('a', puts(1, 5), broken);
    expect(await fixture.sequences('a')).toEqual([1, 2, 3, 4, 5]);
    expect(await fixture.sequences('b')).toEqual([7, 8]);
  });
});

describe('a record that cannot be logged', () => {
  test('goes to the failure destination without its images, and the others are logged', async () => {
    const batch = [put(1), poison(2), put(3), poison(4), put(5)];
    expect(await fixture.capture('a', batch)).toEqual({ logged: 3 });
    expect(await fixture.sequences()).toEqual([1, 3, 5]);
    expect(fixture.rejected).toEqual([
      expect.objectContaining({
        lane: '0',
        shard: 'a',
        sequence: sequenceOf(2),
        code: 'CAPTURE_RECORD_REJECTED',
      }),
      expect.objectContaining({ sequence: sequenceOf(4) }),
    ]);
    expect(Object.keys(fixture.rejected[0]!).sort()).toEqual(['code', 'lane', 'reason', 'sequence', 'shard']);
    expect(fixture.telemetry.metric('RejectedRecords')).toBe(2);
    expect(fixture.telemetry.kinds()).toEqual(['rejected', 'rejected', 'captured']);
  });

  test('at the end of a batch that is delivered again goes there once', async () => {
    await fixture.capture('a', [put(1), poison(2)]);
    await fixture.capture('a', [put(1), poison(2), put(3)]);
    expect(fixture.rejected).toHaveLength(1);
    expect(await fixture.sequences()).toEqual([1, 3]);
  });

  test('alone in its batch is acknowledged', async () => {
    expect(await fixture.capture('a', [poison(1)])).toEqual({ logged: 0 });
    expect(fixture.rejected).toHaveLength(1);
  });

  test.each([
    {},
    { eventName: 'INSERT' as const },
    { dynamodb: {} },
    { eventName: 'INSERT' as const, dynamodb: { SequenceNumber: '5' } },
  ])('stops nothing, whatever shape it has: %j', async (broken) => {
    expect(await fixture.capture('a', [put(1), broken, put(3)])).toEqual({ logged: 2 });
    expect(await fixture.sequences()).toEqual([1, 3]);
    expect(fixture.rejected).toHaveLength(1);
  });

  test('and that the failure destination does not take is where the retry begins; what came before is logged', async () => {
    const batch = [put(1), put(2), poison(3), put(4), poison(5), put(6)];
    fixture.isDown = () => true;
    expect(await fixture.capture('a', batch)).toEqual({ logged: 2, failedFrom: sequenceOf(3) });
    expect(await fixture.sequences()).toEqual([1, 2]);
    expect(await fixture.capture('a', batch.slice(2))).toEqual({ logged: 0, failedFrom: sequenceOf(3) });

    fixture.isDown = ({ sequence }) => sequence === sequenceOf(5);
    expect(await fixture.capture('a', batch.slice(2))).toEqual({ logged: 1, failedFrom: sequenceOf(5) });
    expect(await fixture.sequences()).toEqual([1, 2, 4]);

    fixture.isDown = () => false;
    expect(await fixture.capture('a', batch.slice(4))).toEqual({ logged: 1 });
    expect(await fixture.sequences()).toEqual([1, 2, 4, 6]);
    expect(fixture.rejected.map(({ sequence }) => sequence)).toEqual([sequenceOf(3), sequenceOf(5)]);
  });

  test('and that has no number of its own holds back itself and what comes after', async () => {
    fixture.isDown = () => true;
    const batch = [put(1), { eventName: 'INSERT' as const }, put(3)];
    const { failedFrom } = await fixture.capture('a', batch);
    fixture.isDown = () => false;
    const from = batch.findIndex(
      (record) => 'dynamodb' in record && record.dynamodb?.SequenceNumber === failedFrom,
    );
    await fixture.capture('a', batch.slice(Math.max(0, from)));
    expect(await fixture.sequences()).toEqual([1, 3]);
    expect(fixture.rejected).toHaveLength(1);
  });
});

describe('roles', () => {
  test('a follower logs nothing, acknowledges, and counts what was written locally', async () => {
    fixture = await new CaptureFixture().lead(AWAY);
    expect(await fixture.capture('a', [...puts(1, 3), poison(4)])).toEqual({ logged: 0 });
    expect(await allEntries(fixture.log)).toEqual([]);
    expect(fixture.rejected).toEqual([]);
    expect(fixture.telemetry.metric('LocalWritesAtFollower')).toBe(3);
  });

  test('a Region that does not know who leads acknowledges nothing', async () => {
    await expect(new CaptureFixture().capture('a', puts(1, 1))).rejects.toMatchObject({
      code: 'ROLE_UNKNOWN',
    });
  });

  test('a former leader whose log is sealed acknowledges nothing, however often it tries', async () => {
    await fixture.capture('a', puts(1, 2));
    const { head } = await fixture.log.seal(LANE_0, E2);
    for (let i = 0; i < 3; i++) {
      await expect(fixture.capture('a', puts(3, 2))).rejects.toMatchObject({
        code: 'LOG_FENCED',
        retry: 'never',
      });
    }
    expect(await fixture.log.head(LANE_0)).toEqual(head);
  });

  test('a leader that is sealed between its look and its append acknowledges nothing', async () => {
    const sealing = intercepted(fixture.log, {
      putSegment:
        (next) =>
        async (...args) => {
          const kept = await next(...args);
          await fixture.log.seal(LANE_0, E2);
          return kept;
        },
    });
    await expect(fixture.capture('a', puts(1, 2), sealing)).rejects.toMatchObject({ code: 'LOG_FENCED' });
    expect(await allEntries(fixture.log)).toEqual([]);
  });

  test('a leader of a later epoch appends in its name and seals the log for the earlier one', async () => {
    await fixture.capture('a', puts(1, 1));
    await fixture.lead(HOME, E2);
    await fixture.capture('a', puts(1, 2));
    expect((await fixture.records()).map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect((await fixture.log.head(LANE_0)).sealedEpoch).toBe(2);
  });
});
