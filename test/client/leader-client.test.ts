import { setTimeout as sleep } from 'node:timers/promises';
import { ConditionalCheckFailedException, TransactionCanceledException } from '@aws-sdk/client-dynamodb';
import { beforeEach, describe, expect, test } from 'vitest';
import { type ClientEvent, fateOf, LeaderClient } from '#lib/client/leader-client.ts';
import { NotLeaderError } from '#lib/client/not-leader-error.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

describe('a write at the leader', () => {
  let nowMs: number;
  /** What DNS names, from the first answer on; the last one stays. */
  let names: string[];
  let events: ClientEvent[];
  /** Where tries were made. */
  let tries: string[];
  /** What becomes of the tries, in order; those after the last succeed. */
  let fates: Error[];

  beforeEach(() => {
    nowMs = 0;
    names = ['eu'];
    events = [];
    tries = [];
    fates = [];
  });

  const client = () =>
    new LeaderClient<string>({
      finder: {
        find: async () => ({ target: names[0]! }),
        forget: () => void (names.length > 1 && names.shift()),
      },
      open: (target) => ({ handle: target }),
      onEvent: (event) => void events.push(event),
      targetOf: (leader) => leader.slice(0, 2),
      pauseMs: 10,
      deadlineMs: 1_000,
      now: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
      },
    });
  const write = (idempotent: boolean) => writeBy(client(), idempotent);
  const writeBy = (by: LeaderClient<string>, idempotent = false) =>
    by.write(
      async (handle) => {
        tries.push(handle);
        const fate = fates.shift();
        if (fate !== undefined) throw fate;
        return handle;
      },
      { idempotent },
    );

  const refused = new UnderstudyError('NOT_LEADER', 'eu takes no writes', 'Ask DNS again.');
  const sentTo = (leader: string) => new NotLeaderError('not here', parseRegionId(leader));
  const fenced = Object.assign(new Error('explicit deny'), { name: 'AccessDeniedException' });
  const lost = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });

  test.each([
    ['refused', refused],
    ['fenced', fenced],
  ])('that is %s is made where DNS points next, and its client says how long that took', async (_, fate) => {
    names = ['eu', 'us'];
    fates = [fate];
    expect(await write(false)).toBe('us');
    expect(tries).toEqual(['eu', 'us']);
    expect(events).toEqual([
      { kind: 'refused', target: 'eu', why: String(fate) },
      { kind: 'converged', target: 'us', afterMs: 10 },
    ]);
  });

  test('of unknown outcome is not made a second time', async () => {
    fates = [lost];
    await expect(write(false)).rejects.toMatchObject({ code: 'WRITE_UNKNOWN', cause: lost });
    expect(tries).toEqual(['eu']);
  });

  test('of unknown outcome is made again if it is idempotent', async () => {
    names = ['eu', 'us'];
    fates = [lost, lost];
    expect(await write(true)).toBe('us');
    expect(tries).toEqual(['eu', 'us', 'us']);
    expect(events.map(({ kind }) => kind)).toEqual(['unknown', 'unknown', 'converged']);
  });

  test('is made where the old leader says that writes go on, before DNS follows, and from then on', async () => {
    fates = [sentTo('us-east-1')];
    const one = client();
    expect(await writeBy(one)).toBe('us');
    expect(await writeBy(one)).toBe('us');
    names = ['ap'];
    expect(await writeBy(one)).toBe('ap');
    expect(tries).toEqual(['eu', 'us', 'us', 'ap']);
  });

  test('waits where it was sent while nobody there takes it yet, and goes back after a moment', async () => {
    const waiting = new NotLeaderError('a failover is under way', undefined);
    // Ten milliseconds a try: the hundredth is made after a second.
    fates = [sentTo('us-east-1'), ...Array.from({ length: 99 }, () => waiting)];
    expect(await writeBy(client())).toBe('eu');
    expect(tries).toEqual(['eu', ...Array.from({ length: 99 }, () => 'us'), 'eu']);
  });

  test('stays where it was sent while the leader there has yet to grant more writes', async () => {
    const spent = new UnderstudyError('LEASE_SPENT', 'us has granted no more', 'Try again in a moment.');
    fates = [sentTo('us-east-1'), spent];
    expect(await write(false)).toBe('us');
    expect(tries).toEqual(['eu', 'us', 'us']);
  });

  test('goes back to where DNS points from one that does not answer, or that knows better', async () => {
    fates = [sentTo('us-east-1'), lost];
    expect(await write(true)).toBe('eu');
    fates = [sentTo('us-east-1'), sentTo('eu-west-1')];
    expect(await write(true)).toBe('eu');
    expect(tries).toEqual(['eu', 'us', 'eu', 'eu', 'us', 'eu']);
  });

  test('ends at the deadline: certainly not made where it was refused each time, unknown where it once was', async () => {
    fates = Array.from({ length: 200 }, () => refused);
    await expect(write(true)).rejects.toBe(refused);
    expect([nowMs, tries.length]).toEqual([1_000, 101]);
    fates = [lost, ...Array.from({ length: 200 }, () => refused)];
    await expect(write(true)).rejects.toMatchObject({ code: 'WRITE_UNKNOWN' });
  });

  test("ends with the store's own answer where that says no, unless an earlier try may have been made", async () => {
    const condition = new ConditionalCheckFailedException({ message: 'no', $metadata: {} });
    fates = [condition];
    await expect(write(true)).rejects.toBe(condition);
    expect(tries).toEqual(['eu']);
    fates = [lost, condition];
    await expect(write(true)).rejects.toMatchObject({ code: 'WRITE_UNKNOWN', cause: condition });
  });
});

test.each([
  ['a closed port', Object.assign(new Error(''), { code: 'ECONNREFUSED' }), 'refused'],
  [
    'fetch, which has it as the cause',
    new Error('', { cause: Object.assign(new Error(), { code: 'ENOTFOUND' }) }),
    'refused',
  ],
  ['a throttle', Object.assign(new Error(), { name: 'ThrottlingException', $fault: 'client' }), 'refused'],
  [
    'a transaction that met another',
    new TransactionCanceledException({ message: '[TransactionConflict]', $metadata: {} }),
    'refused',
  ],
  [
    'a transaction whose condition did not hold',
    new TransactionCanceledException({ message: '[ConditionalCheckFailed]', $metadata: {} }),
    'failed',
  ],
  [
    'a malformed request',
    Object.assign(new Error(), { name: 'ValidationException', $fault: 'client' }),
    'failed',
  ],
  [
    'a fault of the service',
    Object.assign(new Error(), { name: 'InternalServerError', $fault: 'server' }),
    'unknown',
  ],
  ['a try that took too long', new DOMException('', 'TimeoutError'), 'unknown'],
])('the fate of a try by %s', (_, error, fate) => {
  expect(fateOf(error)).toBe(fate);
});

test('a Region that hangs when it is asked for its lease holds up no write at the next leader', async () => {
  const names = ['hanging', 'next'];
  const events: ClientEvent[] = [];
  const client = new LeaderClient<string>({
    finder: {
      find: async () => ({ target: names[0]! }),
      forget: () => void names.shift(),
    },
    open: (target) => ({
      handle: target,
      lease: {
        write: async (make) =>
          target === 'hanging' ? new Promise(() => {}) : { epoch: 2 as Epoch, result: await make() },
      },
    }),
    onEvent: (event) => void events.push(event),
    tryMs: 20,
    pauseMs: 1,
    now: () => Date.now(),
    sleep: (ms) => sleep(ms),
  });

  expect(await client.write(async (handle) => handle, { idempotent: false })).toBe('next');
  expect(events.map(({ kind, target }) => `${kind} ${target}`)).toEqual([
    'refused hanging',
    'converged next',
  ]);
});
