import { beforeEach, describe, expect, test } from 'vitest';
import { LeaderLease } from '#lib/client/leader-lease.ts';
import type { NotLeaderError } from '#lib/client/not-leader-error.ts';
import { ACROSS, AT_HAND, DRAWN_MS, SOON_MS, WRITE_MS } from '#lib/domain/control/application-lease.ts';
import { MAX_DRIFT, PROFILES } from '#lib/domain/control/profile.ts';
import { claim, founded } from '#lib/domain/control/register.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { FailoverGroup } from '../support/failover-group.ts';
import { E1, E2 } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';
import { Watchers } from '../support/watchers.ts';

const { answerMs: ANSWER_MS, freshMs: FRESH_MS } = AT_HAND;
const START = 1_800_000_000_000;

let acceptor: MemoryAcceptor;
let lease: LeaderLease;
let steadyMs: number;
let wallOffMs: number;
let counter: number;
let reads: number;
/** How long the store takes for a write, ms. */
let storeMs: number;
/** What happens while a write waits. */
let whileWaiting: () => Promise<unknown>;
const made: number[] = [];

const write = async () => {
  steadyMs += storeMs;
  made.push(steadyMs);
};

/** The leader's next beat, which lends for 10 s. */
async function beat(granted?: number): Promise<void> {
  counter += 1;
  const leaseUntilMs = START + steadyMs + 10_000;
  await acceptor.beat({ epoch: E1, counter, leaseUntilMs, ...(granted !== undefined && { granted }) });
}

beforeEach(async () => {
  acceptor = new MemoryAcceptor();
  steadyMs = 0;
  wallOffMs = 0;
  counter = 0;
  reads = 0;
  storeMs = 5;
  whileWaiting = async () => {};
  made.length = 0;
  await acceptor.join(ballot(1), founded(EU, E1, 'first'));
  await beat();
  lease = new LeaderLease({
    region: EU,
    acceptor: {
      read: () => {
        reads += 1;
        return acceptor.read();
      },
      draw: (draw) => acceptor.draw(draw),
    },
    clock: { now: () => START + steadyMs + wallOffMs, steadyMs: () => steadyMs },
    sleep: async (ms) => {
      steadyMs += ms;
      await whileWaiting();
    },
  });
});

describe('the times by which an application looks', () => {
  test.each(Object.entries({ AT_HAND, ACROSS }))('end its writes before another leads: %s', (_, times) => {
    const { answerMs, freshMs, handoverMs } = times;
    expect(freshMs).toBeLessThan(answerMs);
    expect(answerMs * (1 + MAX_DRIFT)).toBeLessThan(handoverMs * (1 - MAX_DRIFT));
    for (const { leaseMs, marginMs } of Object.values(PROFILES))
      expect((leaseMs + answerMs) * (1 + MAX_DRIFT)).toBeLessThan((leaseMs + marginMs) * (1 - MAX_DRIFT));
  });
});

describe('a write under the lease', () => {
  test('believes a look that took as long as one across Regions may take, and no longer, by where the item is', async () => {
    const across = (lookMs: number, times = ACROSS) =>
      new LeaderLease({
        region: EU,
        acceptor: {
          read: () => {
            steadyMs += lookMs;
            return acceptor.read();
          },
          draw: (draw) => acceptor.draw(draw),
        },
        clock: { now: () => START + steadyMs, steadyMs: () => steadyMs },
        sleep: async () => {},
        times,
      }).write(write);
    await across(ACROSS.freshMs);
    expect(made).toHaveLength(1);
    await expect(across(ACROSS.freshMs + 1)).rejects.toThrow('the look at its lease took too long');
    await expect(across(ACROSS.freshMs, AT_HAND)).rejects.toThrow('the look at its lease took too long');
    expect(made).toHaveLength(1);
  });

  test('is made in the epoch that lends it, by one look for all that begin soon after', async () => {
    expect(await lease.write(write)).toEqual({ epoch: E1, result: undefined });
    await lease.write(write);
    expect([made.length, reads]).toEqual([2, 1]);
    steadyMs += FRESH_MS + 1;
    await lease.write(write);
    expect(reads).toBe(2);
  });

  test('is not made once the lease is over, while the leader hands over, or where another leads', async () => {
    steadyMs += 10_001;
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await beat();
    await acceptor.vote(E1, 'over', 'run/1');
    steadyMs += FRESH_MS + 1;
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await acceptor.accept(ballot(2), founded(US, E1, 'other'));
    steadyMs += FRESH_MS + 1;
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    expect(made).toEqual([]);
  });

  test('that comes to the successor ahead of its first lease is made as soon as it holds one', async () => {
    const by = { epoch: E1, coordinator: US, run: 'run' };
    const { register } = claim(founded(US, E1, 'first'), { ...by, phase: 'switching-over', successor: EU });
    await acceptor.vote(E1, 'over');
    await acceptor.accept(ballot(2), register);
    const steps = [
      () => acceptor.accept(ballot(3), founded(EU, E2, 'run')),
      // What it has been lent, it tells with its next beat only.
      () => acceptor.beat({ epoch: E2, counter: 7, leaseUntilMs: 0 }),
      () => acceptor.beat({ epoch: E2, counter: 8, leaseUntilMs: START + 10_000 }),
    ];
    whileWaiting = async () => steadyMs % 40 === 0 && steps.shift()?.();
    expect((await lease.write(write)).epoch).toBe(E2);
    expect(steps).toEqual([]);
    expect(made).toEqual([120 + storeMs]);
  });

  test('waits for a first lease no longer than for a moment, and not at all for one that is over', async () => {
    await acceptor.vote(E1, 'over');
    await acceptor.accept(ballot(2), founded(EU, E2, 'run'));
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER', leader: undefined });
    expect(steadyMs).toBe(SOON_MS);
    await acceptor.beat({ epoch: E2, counter: 7, leaseUntilMs: START + 1_000 });
    steadyMs += FRESH_MS;
    await lease.write(write);
    await acceptor.beat({ epoch: E2, counter: 8, leaseUntilMs: 0 });
    steadyMs = 1_000;
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    expect(steadyMs).toBe(1_000);
    expect(made).toHaveLength(1);
  });

  test('that is refused is told where writes go on, as soon as that is decided', async () => {
    const leader = async () => {
      steadyMs += FRESH_MS + 1;
      return lease.write(write).catch(({ leader }: NotLeaderError) => leader);
    };
    const by = { epoch: E1, coordinator: EU, run: 'run' };
    await acceptor.vote(E1, 'over', 'run/1');
    // Nobody is named yet: the Region itself is no answer.
    expect(await leader()).toBeUndefined();
    const switching = claim(founded(EU, E1, 'first'), { ...by, phase: 'switching-over', successor: US });
    await acceptor.accept(ballot(2), switching.register);
    expect(await leader()).toBe(US);
    const failing = claim(founded(EU, E1, 'first'), { ...by, phase: 'failing-over' });
    await acceptor.accept(ballot(3), failing.register);
    expect(await leader()).toBeUndefined();
    await acceptor.accept(ballot(4), founded(US, E2, 'other'));
    expect(await leader()).toBe(US);
  });

  test('whose answer comes late counts only if the lease is still there by a new look', async () => {
    storeMs = ANSWER_MS + 1;
    await lease.write(write);
    expect(reads).toBe(2);
    const handedOver = async () => {
      await write();
      await acceptor.vote(E1, 'over', 'run/1');
    };
    await expect(lease.write(handedOver)).rejects.toMatchObject({ code: 'WRITE_UNKNOWN' });
  });

  test('does not count if it took too long, or if its process was frozen meanwhile', async () => {
    storeMs = WRITE_MS + 1;
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'WRITE_UNKNOWN' });
    storeMs = 5;
    const frozen = async () => {
      await write();
      wallOffMs += 60_000;
    };
    await expect(lease.write(frozen)).rejects.toMatchObject({ code: 'WRITE_UNKNOWN' });
  });
});

describe('a leader that no other Region hears', () => {
  const { leaseMs } = PROFILES.fast;

  async function cutOff(
    onLeaseLost: 'fence' | 'continue',
  ): Promise<{ watchers: Watchers; lease: LeaderLease }> {
    const watchers = new Watchers(await new FailoverGroup([EU, US, AP]).found(EU));
    watchers.onLeaseLost = onLeaseLost;
    watchers.restart(EU);
    const { clock } = watchers.group;
    const lease = new LeaderLease({
      region: EU,
      acceptor: watchers.group.acceptor(EU),
      clock,
      sleep: watchers.group.sleep,
    });
    await watchers.pass(2_000);
    expect((await lease.write(async () => 'made')).result).toBe('made');
    for (const region of [US, AP]) watchers.asleep.add(region);
    watchers.cut(EU, US, AP);
    await watchers.pass(2 * leaseMs);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    return { watchers, lease };
  }

  test('gets no write of its clients once its lease is over', async () => {
    const { lease } = await cutOff('fence');
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    expect(made).toEqual([]);
  });

  test('gets them all the same where its group goes on without a lease, until it hears of another', async () => {
    const { lease, watchers } = await cutOff('continue');
    expect((await lease.write(async () => 'made')).result).toBe('made');
    await watchers.group.acceptor(EU).vote(E1, 'over');
    await watchers.pass(FRESH_MS + 1);
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await watchers.group.acceptor(EU).accept(ballot(9), { ...founded(US, E2, 'other') });
    await watchers.pass(FRESH_MS + 1);
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    expect(made).toEqual([]);
  });
});

describe('where writes are counted', () => {
  const drawn = async () => (await acceptor.read()).drawn ?? 0;

  test('each is drawn before it is made, and no more are made than were granted', async () => {
    await beat(10);
    for (let n = 0; n < 10; n += 1) await lease.write(write);
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'LEASE_SPENT' });
    expect([made.length, await drawn()]).toEqual([10, 10]);
    await beat(20);
    steadyMs += FRESH_MS + 1;
    await lease.write(write, 10);
    await expect(lease.write(write)).rejects.toMatchObject({ code: 'LEASE_SPENT' });
    expect(made.length).toBe(11);
  });

  test('many at once share what is drawn', async () => {
    await beat(1_000);
    storeMs = 0;
    await Promise.all(Array.from({ length: 300 }, () => lease.write(write)));
    expect(made.length).toBe(300);
    expect(await drawn()).toBeGreaterThanOrEqual(300);
    expect(await drawn()).toBeLessThan(600);
  });

  test('what was drawn and not begun is void after a while, and is not drawn again', async () => {
    await beat(1_000);
    for (let n = 0; n < 5; n += 1) await lease.write(write);
    const before = await drawn();
    steadyMs += DRAWN_MS;
    await lease.write(write);
    expect(await drawn()).toBeGreaterThan(before);
    steadyMs += DRAWN_MS;
    await lease.write(write);
    steadyMs += DRAWN_MS;
    const idle = await drawn();
    await lease.write(write);
    expect(await drawn()).toBeLessThanOrEqual(idle + 2);
  });
});
