import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CheckpointStore, MemoryCheckpointStore } from '#lib/local/event-source/checkpoint-store.ts';
import { FileCheckpointStore } from '#lib/local/event-source/file-checkpoint-store.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { Schedule, type TickEvent } from '#lib/local/event-source/schedule.ts';
import { Bell, systemTimer, within } from '#lib/local/event-source/timer.ts';
import { VirtualTimer } from '#lib/local/event-source/virtual-timer.ts';

function invoker(timer: VirtualTimer, handler: (event: TickEvent) => Promise<unknown>, timeoutMs = 1000) {
  return new FunctionInvoker<TickEvent>({
    functionName: 'tick',
    functionArn: 'arn:tick',
    handler,
    timeoutMs,
    timer,
    newId: () => 'id-1',
  });
}

describe('invoker', () => {
  test('an error thrown before the first await is a failure, not a throw', async () => {
    const error = new Error('early');
    const broken = invoker(new VirtualTimer(), () => {
      throw error;
    });
    expect(await broken.invoke({ kind: 'tick' })).toEqual({ kind: 'failed', requestId: 'id-1', error });
  });

  test('the remaining time runs down to zero and stays there', async () => {
    const timer = new VirtualTimer();
    const left: number[] = [];
    const slow = new FunctionInvoker<TickEvent>({
      functionName: 'tick',
      functionArn: 'arn:tick',
      timeoutMs: 1000,
      timer,
      handler: async (_, context) => {
        for (let at = 0; at < 3; at += 1) {
          left.push(context.getRemainingTimeInMillis());
          await timer.sleep(600);
        }
      },
    });
    let kind: string | undefined;
    void slow.invoke({ kind: 'tick' }).then((ended) => {
      kind = ended.kind;
    });
    await timer.runFor(5000);
    expect(left).toEqual([1000, 400, 0]);
    expect(kind).toBe('timed-out');
  });

  test('a rejection after the deadline reaches nobody', async () => {
    const timer = new VirtualTimer();
    const late = invoker(timer, async () => {
      await timer.sleep(2000);
      throw new Error('too late');
    });
    const ended = late.invoke({ kind: 'tick' });
    await timer.runFor(5000);
    expect(await ended).toEqual({ kind: 'timed-out', requestId: 'id-1' });
  });
});

describe('schedule', () => {
  test('ticks come at once and then at the interval; failures do not stop them', async () => {
    const timer = new VirtualTimer();
    const start = timer.now();
    const ticks: number[] = [];
    const schedule = new Schedule({
      everyMs: 1000,
      timer,
      invoker: invoker(timer, async (event) => {
        expect(event).toEqual({ kind: 'tick' });
        ticks.push(timer.now() - start);
        if (ticks.length === 2) throw new Error('once');
      }),
    });
    schedule.start();
    await timer.runFor(3500);
    await schedule.stop();
    expect(ticks).toEqual([0, 1000, 2000, 3000]);
    expect(schedule.stats()).toEqual({ invocations: 4, errors: 1 });
  });

  test('a tick that falls into a running invocation is dropped', async () => {
    const timer = new VirtualTimer();
    const start = timer.now();
    const ticks: number[] = [];
    const slow = async () => {
      ticks.push(timer.now() - start);
      await timer.sleep(1500);
    };
    const schedule = new Schedule({ everyMs: 1000, timer, invoker: invoker(timer, slow, 5000) });
    schedule.start();
    await timer.runFor(4900);
    expect(ticks).toEqual([0, 2000, 4000]);
    const stopped = schedule.stop();
    await timer.runFor(10_000);
    await stopped;
    expect(ticks).toHaveLength(3);
  });
});

describe('timer', () => {
  test('the system timer wakes early on abort and on a ring', async () => {
    const timer = systemTimer;
    const abort = new AbortController();
    const slept = timer.sleep(600_000, abort.signal);
    abort.abort();
    await slept;
    const bell = new Bell(timer);
    bell.ring();
    await bell.sleep(600_000);
    const rung = bell.sleep(600_000);
    bell.ring();
    await rung;
    expect(await within(timer, 600_000, Promise.resolve('done'))).toBe('done');
    expect(await within(timer, 1, new Promise(() => {}))).toBe('late');
  });
});

describe('checkpoint store', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'understudy-checkpoints-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const stores: [string, () => CheckpointStore][] = [
    ['memory', () => new MemoryCheckpointStore()],
    ['file', () => new FileCheckpointStore(join(folder, 'not', 'there', 'yet'))],
  ];

  test.each(stores)('%s: what was saved last is loaded, per mapping', async (_, make) => {
    const store = make();
    expect(await store.load('a')).toEqual({});
    const saves = Array.from({ length: 20 }, (_, at) =>
      store.save('a', { s: { sequence: String(at), finished: false } }),
    );
    await store.save('b/../c', { t: { finished: true } });
    await Promise.all(saves);
    expect(await store.load('a')).toEqual({ s: { sequence: '19', finished: false } });
    expect(await store.load('b/../c')).toEqual({ t: { finished: true } });
  });

  test('a new process finds the file, and no temporary one is left', async () => {
    const home = join(folder, 'home');
    await new FileCheckpointStore(home).save('m', { s: { sequence: '7', finished: false } });
    expect(await new FileCheckpointStore(home).load('m')).toEqual({ s: { sequence: '7', finished: false } });
    expect(await readdir(home)).toEqual(['m.json']);
  });

  test('each save resolves only when it, or a later one, is in the file', async () => {
    const home = join(folder, 'order');
    const store = new FileCheckpointStore(home);
    const seen = await Promise.all(
      Array.from({ length: 30 }, async (_, at) => {
        await store.save('m', { s: { sequence: String(at), finished: false } });
        return Number((await new FileCheckpointStore(home).load('m')).s?.sequence) >= at;
      }),
    );
    expect(seen).not.toContain(false);
  });

  test.each(['', '{"s":', '{"s":{"finished":"no"}}', '[]'])('a torn file (%j) starts over', async (text) => {
    await writeFile(join(folder, 'torn.json'), text);
    expect(await new FileCheckpointStore(folder).load('torn')).toEqual({});
  });

  test('a folder that cannot be written fails the save, and the next one may succeed', async () => {
    const home = join(folder, 'blocked');
    await writeFile(home, '');
    const store = new FileCheckpointStore(home);
    await expect(store.save('m', {})).rejects.toThrow();
    await rm(home);
    await store.save('m', { s: { finished: true } });
    expect(await store.load('m')).toEqual({ s: { finished: true } });
  });
});
