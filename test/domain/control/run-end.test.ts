import { describe, expect, test } from 'vitest';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { endOfRun } from '#lib/domain/control/run-end.ts';
import { MemoryHistory } from '#lib/local/memory/memory-history.ts';
import type { Executions } from '#lib/ports/sentinel-ports.ts';
import { followRun } from '#lib/usecases/control/follow-run.ts';
import { E1, E2 } from '../../support/log-history.ts';

const steps = (...each: readonly (readonly [step: string, outcome: object])[]) =>
  each.map(([step, outcome]) => ({ step, outcome }));
const times = <T>(count: number, each: T) => Array.from({ length: count }, () => each);

describe('a run', () => {
  test('goes on while its newest step is not the last', () => {
    expect(endOfRun('failover', [])).toBeUndefined();
    expect(endOfRun('failover', steps(['claim', { outcome: 'claimed' }]))).toBeUndefined();
    expect(endOfRun('failover', steps(['verify', { outcome: 'unverified' }]))).toBeUndefined();
  });

  test('is done when its leader is verified', () => {
    expect(endOfRun('failover', steps(['verify', { outcome: 'verified' }]))).toEqual({ kind: 'done' });
  });

  test.each([
    ['NO_CANDIDATE', steps(['elect', { outcome: 'none' }])],
    ['PLAN_STALE', steps(['repoint', { outcome: 'stale' }])],
    ['PLAN_STALE', steps(['drain', { outcome: 'superseded', epoch: 3, leader: 'us-east-1' }])],
    ['REGIONS_TOO_FEW', steps(['claim', { outcome: 'refused', code: 'REGIONS_TOO_FEW', why: 'two' }])],
    ['FAILOVER_REFUSED', steps(...times(10, ['claim', { outcome: 'withheld', why: 'alive' }] as const))],
    ['NOT_LEADER', steps(...times(10, ['verify', { outcome: 'unverified', why: 'no' }] as const))],
  ])('fails with %s by what its last step says', (code, made) => {
    expect(endOfRun('failover', made)).toMatchObject({ kind: 'failed', code });
  });

  test('stops at a step that keeps failing, by the code of the failure', () => {
    const throttled = ['repoint', { outcome: 'failed', code: 'DNS_THROTTLED', why: 'busy' }] as const;
    const end = { kind: 'failed', code: 'DNS_THROTTLED', stoppedAt: 'repoint' };
    expect(endOfRun('failover', steps(...times(5, throttled)))).toBeUndefined();
    expect(endOfRun('failover', steps(...times(6, throttled)))).toMatchObject(end);
    const strange = ['drain', { outcome: 'failed', why: 'Error: odd' }] as const;
    expect(endOfRun('failover', steps(...times(6, strange)))).toMatchObject({ code: 'RUN_STOPPED' });
    // Tries that came to nothing are not those that the workflow counts, and a success begins the count anew.
    const pending = ['dns', { outcome: 'pending' }] as const;
    const failing = ['dns', { outcome: 'failed', why: 'x' }] as const;
    const mixed = [...times(5, failing), ...times(29, pending), ...times(5, failing)];
    expect(endOfRun('failover', steps(...mixed))).toBeUndefined();
    expect(endOfRun('failover', steps(...mixed, pending))).toMatchObject({ code: 'DNS_THROTTLED' });
    // What fails before a switchover has its end is taken back.
    const handover = ['handover', { outcome: 'failed', code: 'REGION_UNREACHABLE', why: 'x' }] as const;
    expect(endOfRun('switchover', steps(...times(6, handover)))).toBeUndefined();
  });

  test('of a switchover ends only once what was yielded is taken back', () => {
    const claim = [
      ['yield', { outcome: 'yielded', lsn: '7' }],
      ['claim', { outcome: 'superseded', epoch: 3, leader: 'us-east-1', why: 'late' }],
    ] as const;
    expect(endOfRun('switchover', steps(...claim))).toBeUndefined();
    const end = endOfRun('switchover', steps(...claim, ['abandon', { outcome: 'abandoned' }]));
    expect(end).toMatchObject({ code: 'FAILOVER_REFUSED', why: expect.stringContaining('late') });
    const refused = steps(['yield', { outcome: 'refused', code: 'NOT_LEADER', why: 'x', stopped: false }]);
    expect(endOfRun('switchover', refused)).toMatchObject({ code: 'NOT_LEADER' });
  });
});

/** Follows the run `one` in a time of its own, from what `history` holds. */
function following(history: MemoryHistory, executions: Executions = { stopOf: async () => undefined }) {
  let nowMs = 0;
  const time = {
    now: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms;
    },
  };
  const input = { epoch: E1, kind: 'failover', run: 'one' } as FailoverInput;
  const seen: string[] = [];
  const follow = async () => {
    for await (const { step } of followRun(history, input, time, executions)) seen.push(step);
  };
  return { follow, seen, now: () => nowMs };
}

describe('a run whose execution has stopped without a word', () => {
  const decision = { atMs: 1, epoch: E2, run: 'one', input: {} };
  const claimed = { ...decision, step: 'claim', outcome: { outcome: 'claimed' } };

  test('ends by its name, what the workflow says, and how it goes on', async () => {
    const history = new MemoryHistory();
    await history.record(claimed);
    const stop = { how: 'timed out', why: 'States.Timeout' } as const;
    const asked: string[] = [];
    const { follow, now, seen } = following(history, {
      stopOf: async (run) => {
        asked.push(run);
        return asked.length < 3 ? undefined : stop;
      },
    });
    await expect(follow()).rejects.toMatchObject({
      code: 'RUN_STOPPED',
      message: expect.stringMatching(/execution one timed out after claim: States.Timeout/),
      next: expect.stringContaining('redrive'),
    });
    expect([asked, seen]).toEqual([['one', 'one', 'one'], ['claim']]);
    expect(now()).toBeLessThan(10_000);
  });

  test('ends by what its steps say, if one of them was written in the meantime', async () => {
    const history = new MemoryHistory();
    await history.record(claimed);
    const { follow, seen } = following(history, {
      stopOf: async () => {
        await history.record({ ...decision, step: 'elect', outcome: { outcome: 'none' } });
        return { how: 'failed', why: 'NO_CANDIDATE' };
      },
    });
    await follow();
    expect(seen).toEqual(['claim', 'elect']);
  });

  test('is waited for where the workflow does not say', async () => {
    const { follow, now } = following(new MemoryHistory(), {
      stopOf: () => Promise.reject(new Error('not authorized')),
    });
    await expect(follow()).rejects.toMatchObject({ code: 'REGION_UNREACHABLE' });
    expect(now()).toBeGreaterThan(60_000);
  });
});

test('a run that falls silent is not waited for any longer than its bound', async () => {
  const history = new MemoryHistory();
  const decision = { atMs: 1, epoch: E2, step: 'claim', input: {}, outcome: { outcome: 'claimed' } };
  await history.record({ ...decision, run: 'another' });
  await history.record({ ...decision, run: 'one' });
  const { follow, now, seen } = following(history);
  await expect(follow()).rejects.toMatchObject({ code: 'REGION_UNREACHABLE' });
  expect(seen).toEqual(['claim']);
  expect(now()).toBeLessThan(100_000);
});
