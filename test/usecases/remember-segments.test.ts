import { beforeEach, expect, test } from 'vitest';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { type LogReader, rememberSegments } from '#lib/usecases/remember-segments.ts';
import { intercepted } from '../support/intercepted-log.ts';
import { fill, GROUP, names, segment } from '../support/log-history.ts';

let fetched: string[];
let fail: boolean;
let remembering: (maxBytes: number) => LogReader;
const hashes = names('e', 4).map((name) => segment(name).hash);
const size = segment('e0').bytes.length;

beforeEach(async () => {
  const log = new MemoryLog(GROUP);
  await fill(log, names('e', 4));
  fetched = [];
  fail = false;
  const counted = intercepted(log, {
    getSegment: (next) => async (entry) => {
      fetched.push(entry.hash);
      if (fail) throw new Error('unreachable');
      return next(entry);
    },
  });
  remembering = (maxBytes) => rememberSegments(counted, maxBytes);
});

test('a segment is fetched once for all that ask for it, one after the other or at the same time', async () => {
  const log = remembering(10 * size);
  const both = await Promise.all([
    log.getSegment({ hash: hashes[0]! }),
    log.getSegment({ hash: hashes[0]! }),
  ]);
  expect(both).toEqual([segment('e0').bytes, segment('e0').bytes]);
  await log.getSegment({ hash: hashes[0]! });
  expect(fetched).toEqual([hashes[0]]);
});

test('the oldest are forgotten first, and one that is too large is not remembered', async () => {
  const log = remembering(2 * size);
  for (const hash of hashes.slice(0, 3)) await log.getSegment({ hash });
  for (const hash of [hashes[2]!, hashes[1]!, hashes[0]!]) await log.getSegment({ hash });
  expect(fetched).toEqual([...hashes.slice(0, 3), hashes[0]]);
  const none = remembering(size - 1);
  fetched = [];
  await none.getSegment({ hash: hashes[0]! });
  expect(await none.getSegment({ hash: hashes[0]! })).toEqual(segment('e0').bytes);
  expect(fetched).toHaveLength(2);
});

test('a fetch that failed is made again', async () => {
  const log = remembering(10 * size);
  fail = true;
  await expect(log.getSegment({ hash: hashes[0]! })).rejects.toThrow('unreachable');
  fail = false;
  expect(await log.getSegment({ hash: hashes[0]! })).toEqual(segment('e0').bytes);
});
