import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { VirtualTimer } from '#lib/local/event-source/virtual-timer.ts';
import { pusher } from '#lib/usecases/push.ts';
import { intercepted, silentLog } from '../support/intercepted-log.ts';
import { allEntries, E2, fill, names, trimTo } from '../support/log-history.ts';
import { AP, EU, MemoryGroup, SA, US } from '../support/memory-group.ts';

let group: MemoryGroup;
let timer: VirtualTimer;
beforeEach(async () => {
  group = await new MemoryGroup([{ name: EU }, { name: US }, { name: AP, follows: US }, { name: SA }]).lead(
    EU,
  );
  timer = new VirtualTimer();
});

const start = (region = EU) =>
  pusher({ ...group.deps(region), clock: timer, sleep: (ms) => timer.sleep(ms) });
const size = async (region: typeof EU) => (await allEntries(group.own(region))).length;

/** Runs a hint to its answer, however long that takes in virtual time; returns how long. */
async function answered(push: () => Promise<void>): Promise<number> {
  const started = timer.now();
  let done = false;
  const answer = push().then(() => {
    done = true;
  });
  await timer.runUntil(() => done);
  await answer;
  return timer.now() - started;
}

describe('a hint', () => {
  test('brings every follower that this Region feeds up to date, and no other', async () => {
    await fill(group.own(EU), names('e', 70));
    expect(await answered(start())).toBe(0);
    expect([await size(US), await size(SA), await size(AP)]).toEqual([70, 70, 0]);
    expect(await answered(start(US))).toBe(0);
    expect(await size(AP)).toBe(70);
  });

  test('at a follower that feeds nobody does nothing', async () => {
    await fill(group.own(EU), ['a']);
    await start(SA)();
    expect([await size(US), await size(AP), await size(SA)]).toEqual([0, 0, 0]);
  });

  test('after another reads no head again', async () => {
    const push = start();
    await fill(group.own(EU), ['a']);
    await push();
    const unread = { head: () => async () => expect.unreachable('the head was read') };
    group.reached.set(US, intercepted(group.own(US), unread));
    await fill(group.own(EU), ['b']);
    await push();
    expect(await size(US)).toBe(2);
    expect(group.telemetry.kinds()).not.toContain('relay-failed');
  });

  test('is never lost, whenever it comes while another is being worked off', async () => {
    for (let turns = 0; turns < 60; turns++) {
      group = await new MemoryGroup([{ name: EU }, { name: US }]).lead(EU);
      const push = start();
      await fill(group.own(EU), ['a']);
      const first = push();
      for (let i = 0; i < turns; i++) await Promise.resolve();
      await fill(group.own(EU), ['b']);
      await push();
      await first;
      expect(await size(US), `a hint ${turns} turns later`).toBe(2);
    }
  });

  test('that comes while others are under way shares their flight', async () => {
    let flights = 0;
    const counting = intercepted(group.own(US), {
      head: (next) => async (lane) => {
        flights++;
        return next(lane);
      },
    });
    group.reached.set(US, counting);
    const push = start();
    await fill(group.own(EU), names('e', 10));
    await Promise.all(Array.from({ length: 20 }, push));
    expect(flights).toBe(1);
    expect(await size(US)).toBe(10);
  });
});

describe('a follower that never answers', () => {
  beforeEach(async () => {
    group.reached.set(US, silentLog(group.own(US)));
    await fill(group.own(EU), ['a']);
  });

  test('does not hold up the healthy one, nor the answer for longer than patience lasts', async () => {
    const push = start();
    const answer = push();
    await timer.runFor(0);
    expect(await size(SA)).toBe(1);
    await timer.runFor(1_000);
    await answer;
    await fill(group.own(EU), ['b']);
    const second = push();
    await timer.runFor(0);
    expect(await size(SA)).toBe(2);
    await timer.runFor(1_000);
    await second;
  });

  test('has one flight, however many hints come', async () => {
    let calls = 0;
    const silent = silentLog(group.own(US));
    group.reached.set(
      US,
      intercepted(silent, {
        head: (next) => (lane) => {
          calls++;
          return next(lane);
        },
      }),
    );
    const push = start();
    for (let i = 0; i < 10; i++) await answered(push);
    expect(calls).toBe(1);
  });
});

describe('a follower that fails', () => {
  test('rests, is tried again after that, and is caught up', async () => {
    let calls = 0;
    let down = true;
    const failing = intercepted(group.own(US), {
      head: (next) => async (lane) => {
        calls++;
        if (down) throw new Error('unreachable');
        return next(lane);
      },
    });
    group.reached.set(US, failing);
    const push = start();
    await fill(group.own(EU), ['a']);
    await answered(push);
    expect(group.telemetry.events).toContainEqual({
      kind: 'relay-failed',
      fields: { to: US, lane: '0', epoch: 1, why: 'Error: unreachable' },
    });
    await fill(group.own(EU), ['b']);
    await answered(push);
    expect([calls, await size(US), await size(SA)]).toEqual([1, 0, 2]);

    down = false;
    await timer.runFor(1_999);
    await answered(push);
    expect(calls).toBe(1);
    await timer.runFor(1);
    await answered(push);
    expect([calls, await size(US)]).toEqual([2, 2]);
  });

  test('at once, before it has made a call, is tried again, too', async () => {
    const push = start();
    await fill(group.own(EU), ['a']);
    const broken = group.reached;
    const get = broken.get.bind(broken);
    broken.get = (region) => {
      if (region === US) throw new Error('no such Region');
      return get(region);
    };
    await answered(push);
    expect(group.telemetry.kinds()).toContain('relay-failed');
    broken.get = get;
    await timer.runFor(2_000);
    await answered(push);
    expect(await size(US)).toBe(1);
  });

  test('because its answer was lost is done when it is tried again, with nothing twice', async () => {
    let lose = true;
    const lossy = intercepted(group.own(US), {
      append:
        (next) =>
        async (...args) => {
          const outcome = await next(...args);
          if (lose) throw new Error('answer lost');
          return outcome;
        },
    });
    group.reached.set(US, lossy);
    const push = start();
    await fill(group.own(EU), names('e', 3));
    await answered(push);
    lose = false;
    await timer.runFor(2_000);
    await fill(group.own(EU), ['next']);
    await answered(push);
    expect(await allEntries(group.own(US))).toEqual(await allEntries(group.own(EU)));
  });
});

describe('a follower that may not be written to', () => {
  test('because a newer epoch has sealed it is told of and rests; under that epoch it is served', async () => {
    await group.own(US).seal(LANE_0, E2);
    const push = start();
    await fill(group.own(EU), ['a']);
    await answered(push);
    await answered(push);
    expect(group.telemetry.kinds().filter((kind) => kind === 'relay-fenced')).toHaveLength(1);
    expect([await size(US), await size(SA)]).toEqual([0, 1]);
    await group.lead(EU, E2);
    await timer.runFor(2_000);
    await answered(push);
    expect(await size(US)).toBe(1);
  });

  test('because it has diverged is told of and left as it is', async () => {
    await fill(group.own(US), ['x']);
    await fill(group.own(EU), ['a']);
    await answered(start());
    expect(group.telemetry.kinds()).toContain('relay-diverged');
    expect((await allEntries(group.own(US)))[0]!.hash).not.toBe((await allEntries(group.own(EU)))[0]!.hash);
  });

  test('because it is behind what is retained is told of', async () => {
    await fill(group.own(EU), names('e', 3));
    const [, , last] = await allEntries(group.own(EU));
    await trimTo(group.own(EU), group.own(EU), last!.first);
    await answered(start());
    expect(group.telemetry.kinds()).toContain('relay-behind');
    expect(await size(US)).toBe(0);
  });
});
