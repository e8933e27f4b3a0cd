import { describe, expect, test } from 'vitest';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { amend, claim, founded, install, type Register } from '#lib/domain/control/register.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { changeRegister, readRegister } from '#lib/usecases/control/change-register.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { never } from '../../support/intercepted-log.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { STORE_CLOCK_OFF, Watchers } from '../../support/watchers.ts';

const { leaseMs, marginMs, beatMs, lookMs, takeoverMs, cooldownMs } = PROFILES.fast;
const MEMBERS = [EU, US, AP];
const HOUR = 3_600_000;

/** Watchers of a group that EU leads, after a while of peace. */
async function peace(given: Partial<Register> = {}): Promise<Watchers> {
  const watchers = new Watchers(await new FailoverGroup(MEMBERS).found(EU, given));
  await watchers.pass(2_000);
  return watchers;
}

/** Nobody can write to EU, nor hear of it. */
function loseLeader(watchers: Watchers): void {
  watchers.group.lost.add(EU);
  watchers.asleep.add(EU);
}

/** US takes the next epoch by a majority of the votes, and leads it. */
async function succeed(watchers: Watchers, ...voters: readonly RegionId[]): Promise<void> {
  const { group } = watchers;
  await group.vote(E1, ...voters);
  const deps = group.registerDeps(US);
  const by = { epoch: E1, coordinator: US, run: 'run', phase: 'failing-over' as const };
  expect((await group.run(changeRegister(deps, (value) => claim(value, by)))).kind).toBe('changed');
  const at = { epoch: E2, run: 'run', leader: US, cooldownUntilMs: 0 };
  expect((await group.run(changeRegister(deps, (value) => install(value, at)))).kind).toBe('changed');
  await group.control(US).nameLeader({ epoch: E2, leader: US });
}

describe('the sentinel of the leader', () => {
  test('beats while its writes come through, and holds a lease that clients can see', async () => {
    const watchers = await peace();
    const before = await watchers.counter(AP);
    for (let i = 0; i < 20; i++) {
      await watchers.pass(beatMs);
      expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(leaseMs - 2 * beatMs);
    }
    for (const region of MEMBERS) expect(await watchers.counter(region)).toBeGreaterThan(before);
    const { beat, leaderEnd } = await watchers.group.acceptor(US).read();
    expect(beat!.leaseUntilMs).toBeGreaterThan(watchers.group.now());
    expect(beat!.leaseUntilMs).toBeLessThanOrEqual(watchers.group.now() + leaseMs);
    expect(leaderEnd!.end.lsn).toBeGreaterThan(0n);
    expect([watchers.runs, await watchers.vote(US), await watchers.vote(AP)]).toEqual([
      [],
      undefined,
      undefined,
    ]);
  });

  test('lends itself no lease before its store is ready for the epoch, which is asked for once', async () => {
    const watchers = await peace();
    const asked: [RegionId, Epoch][] = [];
    let isReady = false;
    watchers.makeReady = async (region, epoch) => {
      asked.push([region, epoch]);
      if (!isReady) throw new Error('a sequence is locked');
    };
    loseLeader(watchers);
    await watchers.pass(leaseMs + 2 * marginMs);
    await succeed(watchers, US, AP);
    const look = watchers.sentinels.get(US)!;
    await expect(watchers.group.run(look.tick())).rejects.toThrow('a sequence is locked');
    expect(watchers.leaseLeftMs(US)).toBe(0);
    isReady = true;
    await watchers.pass(4 * beatMs);
    expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
    expect(asked).toEqual([
      [US, E2],
      [US, E2],
    ]);
  });

  test('says the least of the lease that was left when it was renewed, since last asked', async () => {
    const watchers = await peace();
    const sentinel = watchers.sentinels.get(EU)!;
    sentinel.takeLeastLeft();
    expect(sentinel.takeLeastLeft()).toBeUndefined();
    await watchers.pass(4 * beatMs);
    const usual = sentinel.takeLeastLeft()!;
    expect(usual).toBeGreaterThan(1 - (2 * beatMs) / leaseMs);
    for (const region of [US, AP]) watchers.answerMs.set(region, leaseMs / 2);
    await watchers.pass(2 * leaseMs);
    const least = sentinel.takeLeastLeft()!;
    expect(least).toBeLessThan(0.6);
    expect(least).toBeGreaterThan(0);
    expect(watchers.events('beat-refused')).toBe(0);
    for (const region of [US, AP]) watchers.asleep.add(region);
    watchers.cut(EU, US, AP);
    await watchers.pass(2 * leaseMs);
    expect(watchers.events('beat-refused')).toBeGreaterThan(0);
    expect(sentinel.takeLeastLeft()).toBe(0);
  });

  test('has no lease, and says so, before its first beat was taken', async () => {
    const group = await new FailoverGroup(MEMBERS).found(EU);
    const watchers = new Watchers(group);
    for (const region of [US, AP]) watchers.asleep.add(region);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    watchers.cut(EU, US, AP);
    await watchers.pass(4 * beatMs);
    expect((await group.acceptor(EU).read()).beat!.leaseUntilMs).toBe(0);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    watchers.heal();
    await watchers.pass(2 * beatMs);
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
    expect((await group.acceptor(EU).read()).beat!.leaseUntilMs).toBeGreaterThan(group.now());
  });

  test('tells of its first lease at once: clients need not wait for the next beat', async () => {
    const group = await new FailoverGroup(MEMBERS).found(EU);
    const watchers = new Watchers(group);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(lookMs);
    expect((await group.acceptor(EU).read()).beat!.leaseUntilMs).toBeGreaterThan(group.now());
  });

  test('tells its store of the lease at once, and again with each canary, by the clock of the store', async () => {
    const group = await new FailoverGroup(MEMBERS).found(EU);
    const watchers = new Watchers(group);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(2 * lookMs);
    expect(watchers.storeLeases.at(-1)?.lease?.epoch).toBe(E1);
    await watchers.pass(6 * beatMs);
    const told = watchers.storeLeases.filter(({ lease }) => lease !== undefined);
    expect(told.length).toBeGreaterThan(5);
    for (const { lease, atMs } of told) {
      const leftMs = lease!.untilMs - STORE_CLOCK_OFF - atMs;
      expect(leftMs).toBeGreaterThan(leaseMs - 2 * beatMs);
      expect(leftMs).toBeLessThanOrEqual(leaseMs);
    }
  });

  test('never tells its store of a lease that lasts longer than it was lent, however slow its writes are', async () => {
    const watchers = await peace();
    for (const ms of [leaseMs / 2, leaseMs, 3 * leaseMs]) {
      watchers.writeMs.set(EU, ms);
      await watchers.pass(4 * ms);
    }
    watchers.writeMs.set(EU, 0);
    await watchers.pass(4 * leaseMs);
    watchers.cut(EU, US, AP);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(4 * leaseMs);
    const told = watchers.storeLeases.filter(({ lease }) => lease !== undefined);
    expect(told.length).toBeGreaterThan(5);
    for (const { lease, lentUntilMs } of told) {
      expect(lease!.untilMs - STORE_CLOCK_OFF).toBeLessThanOrEqual(lentUntilMs);
    }
    expect(watchers.storeLeases.at(-1)!.lease).toBeUndefined();
  });

  test('goes on beating while a write takes long: overload is not death', async () => {
    const watchers = await peace();
    watchers.writeMs.set(EU, 4 * leaseMs);
    await watchers.pass(leaseMs);
    const before = await watchers.counter(US);
    await watchers.pass(2 * leaseMs);
    expect(await watchers.counter(US)).toBeGreaterThan(before);
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
    await watchers.pass(4 * leaseMs);
    expect(watchers.events('canary-slow')).toBeGreaterThan(0);
    expect(watchers.runs).toEqual([]);
  });

  test('stops beating when its store refuses writes, and fences itself when its lease is over', async () => {
    const watchers = await peace();
    watchers.group.broken.add(EU);
    await watchers.pass(2 * beatMs);
    const before = await watchers.counter(US);
    await watchers.pass(leaseMs + lookMs);
    expect(await watchers.counter(US)).toBe(before);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    expect(watchers.group.fences.get(EU)).toBe(1);
  });

  test('counts its lease from when it sent the beat, not from the answer', async () => {
    const watchers = await peace();
    for (const region of [US, AP]) {
      watchers.answerMs.set(region, 1_000);
      watchers.asleep.add(region);
    }
    const left: number[] = [];
    for (let i = 0; i < 6; i++) {
      const sent = watchers.group.scheduler.now();
      await watchers.pass(1);
      if (watchers.group.scheduler.now() - sent >= 1_000) left.push(watchers.leaseLeftMs(EU));
    }
    expect(left.length).toBeGreaterThan(1);
    expect(Math.max(...left)).toBeLessThanOrEqual(leaseMs - 1_000);
  });

  test('holds no lease by beats that only a minority took', async () => {
    const watchers = await peace();
    watchers.cut(EU, US, AP);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(leaseMs + 2 * lookMs);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    const { beat } = await watchers.group.acceptor(EU).read();
    expect(beat!.leaseUntilMs).toBeLessThanOrEqual(watchers.group.now());
  });

  test('fences its store while cut off, and lowers the fence when it is lent to again', async () => {
    const watchers = await peace();
    for (const region of [US, AP]) watchers.asleep.add(region);
    watchers.cut(EU, US, AP);
    await watchers.until(() => watchers.group.fences.has(EU));
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    watchers.heal();
    await watchers.until(() => !watchers.group.fences.has(EU));
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
  });

  test('that starts anew after its lease has run out fences its store, and does not while another process beats', async () => {
    const watchers = await peace();
    watchers.restart(EU);
    watchers.cut(EU, US, AP);
    await watchers.pass(lookMs);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    expect(watchers.group.fences.has(EU)).toBe(false);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(leaseMs + lookMs);
    expect(watchers.group.fences.get(EU)).toBe(1);
  });

  test('leaves the beats to the next process while that beats: what applications may write grows on', async () => {
    const watchers = await peace();
    const last = watchers.sentinels.get(EU)!;
    watchers.restart(EU);
    const own = watchers.group.acceptor(EU);
    let drawn = 0;
    for (let looks = 0; looks < 40; looks++) {
      await watchers.group.run(last.tick());
      await watchers.pass(lookMs);
      const { beat } = await own.read();
      const answer = await own.draw({ epoch: E1, granted: beat!.granted!, count: 100 });
      if (answer.kind === 'drawn') drawn += 100;
    }
    expect(drawn).toBeGreaterThan(3_000);
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(leaseMs - 2 * beatMs);
    // Should that be gone, this one goes on.
    watchers.asleep.add(EU);
    for (let looks = 0; looks * lookMs < 4 * beatMs; looks++) {
      await watchers.pass(lookMs);
      await watchers.group.run(last.tick());
    }
    expect(last.leaseLeftMs).toBeGreaterThan(leaseMs - 2 * beatMs);
    expect(watchers.events('lease-lost')).toBe(0);
  });

  test('does not leave them to one that nobody else hears', async () => {
    const watchers = await peace();
    const own = watchers.group.acceptor(EU);
    for (let looks = 0; looks * lookMs < 3 * leaseMs; looks++) {
      const { beat } = await own.read();
      const deaf = { epoch: E1, counter: beat!.counter + 1, leaseUntilMs: 0, granted: beat!.granted! };
      expect((await own.beat(deaf)).kind).toBe('lent');
      await watchers.pass(lookMs);
      expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(leaseMs - 2 * beatMs);
    }
  });

  test('fences its store once it could not read its own item for a lease, be it a process that has just begun', async () => {
    const watchers = await peace();
    watchers.restart(EU);
    watchers.blind.add(EU);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(leaseMs - lookMs);
    expect(watchers.group.fences.has(EU)).toBe(false);
    await watchers.pass(3 * lookMs);
    expect(watchers.group.fences.get(EU)).toBe(1);
    expect(watchers.events('lease-lost')).toBe(1);
    watchers.blind.delete(EU);
    await watchers.until(() => !watchers.group.fences.has(EU));
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
  });

  test('that follows fences nothing for what it cannot read, nor does a leader that can read now and then', async () => {
    const watchers = await peace();
    watchers.blind.add(US);
    await watchers.pass(2 * leaseMs);
    for (let looks = 0; looks * lookMs < 3 * leaseMs; looks += 2) {
      watchers.blind.add(EU);
      await watchers.pass(lookMs);
      watchers.blind.delete(EU);
      await watchers.pass(lookMs);
    }
    expect(watchers.group.fences.size).toBe(0);
  });

  test('goes on without a lease where the group is told to, and says so', async () => {
    const watchers = new Watchers(await new FailoverGroup(MEMBERS).found(EU));
    watchers.onLeaseLost = 'continue';
    watchers.restart(EU);
    await watchers.pass(2_000);
    for (const region of [US, AP]) watchers.asleep.add(region);
    watchers.cut(EU, US, AP);
    await watchers.pass(2 * leaseMs);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    expect(watchers.events('lease-lost')).toBe(1);
    expect(watchers.group.fences.has(EU)).toBe(false);
  });

  test('lowers a fence that the process before it has raised', async () => {
    const watchers = await peace();
    watchers.group.fences.set(EU, E1);
    watchers.restart(EU);
    await watchers.pass(1_000);
    expect(watchers.group.fences.has(EU)).toBe(false);
  });

  test.each([
    ['forwards', HOUR],
    ['backwards', -HOUR],
  ])('gains nothing by a wall clock that jumps %s', async (_, jump) => {
    const watchers = await peace();
    for (const region of [US, AP]) watchers.asleep.add(region);
    watchers.cut(EU, US, AP);
    const left = watchers.leaseLeftMs(EU);
    watchers.wallOff.set(EU, jump);
    expect(watchers.leaseLeftMs(EU)).toBeLessThanOrEqual(left);
    await watchers.pass(leaseMs);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    watchers.heal();
    for (const region of [US, AP]) watchers.asleep.delete(region);
    await watchers.until(() => watchers.leaseLeftMs(EU) > 0);
  });

  test('does not beat once it has voted against itself: it hands over', async () => {
    const watchers = await peace();
    await watchers.group.vote(E1, EU);
    await watchers.pass(lookMs);
    const before = await watchers.counter(US);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    await watchers.pass(1_000);
    expect(await watchers.counter(US)).toBe(before);
  });

  test('leaves its log to the run that it has handed over to while a beat was on its way', async () => {
    const watchers = await peace();
    const { group } = watchers;
    const by = 'run/1';
    const handOver = async () => {
      await group.acceptor(EU).vote(E1, 'over', by);
      const next = {
        epoch: E1,
        coordinator: EU,
        run: 'run',
        phase: 'switching-over' as const,
        successor: US,
      };
      return changeRegister(group.registerDeps(EU), (value) => claim(value, next), { by });
    };
    let handedOver: ReturnType<typeof handOver> | undefined;
    watchers.beforeBeat = async (from, at) => {
      if (from !== EU || at === EU) return;
      handedOver ??= handOver();
      await handedOver;
    };
    await watchers.until(() => handedOver !== undefined);
    expect((await handedOver)?.kind).toBe('changed');
    await watchers.pass(5 * lookMs);
    // The last writes are yet to be logged, and that it consented is how anybody knows that there are no others.
    expect((await group.own(EU).head(LANE_0)).sealedEpoch).toBe(1);
    expect(await group.acceptor(EU).read()).toMatchObject({ vote: E1, voteBy: by });
    expect(watchers.leaseLeftMs(EU)).toBe(0);
  });

  test('that was replaced while it slept steps down: fence, seal, and the register in force', async () => {
    const watchers = await peace();
    watchers.asleep.add(EU);
    watchers.cut(US, EU);
    watchers.cut(AP, EU);
    await succeedWithout(watchers);
    watchers.heal();
    watchers.asleep.delete(EU);
    await watchers.until(async () => (await watchers.group.acceptor(EU).read()).accepted?.value.epoch === 2);
    await watchers.pass(1_000);
    expect(watchers.leaseLeftMs(EU)).toBe(0);
    expect(watchers.group.fences.get(EU)).toBe(2);
    expect((await watchers.group.own(EU).head(LANE_0)).sealedEpoch).toBeGreaterThanOrEqual(2);
    expect(await watchers.group.control(EU).role()).toMatchObject({ epoch: 2, leader: US, led: 1 });
    expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
  });

  /** US succeeds while EU can't be asked. */
  async function succeedWithout(watchers: Watchers): Promise<void> {
    watchers.group.lost.add(EU);
    await succeed(watchers, US, AP);
    watchers.group.lost.delete(EU);
  }
});

describe('the sentinel of a follower', () => {
  test('votes once the leader has been silent for lease and margin and its write path fails, not before', async () => {
    const watchers = await peace();
    loseLeader(watchers);
    const silent = watchers.group.scheduler.now();
    const took = await watchers.until(async () => (await watchers.vote(US)) === 1);
    expect(took).toBeGreaterThanOrEqual(leaseMs + marginMs - beatMs - lookMs);
    expect(took).toBeLessThan(leaseMs + 2 * marginMs + 4 * lookMs);
    // From its own first look at the last counter, which was later than the last beat was sent.
    const { beat } = await watchers.group.acceptor(US).read();
    expect(
      silent + took - (beat!.counter - (watchers.group.now() - watchers.group.scheduler.now())),
    ).toBeGreaterThanOrEqual(leaseMs + marginMs);
  });

  test('does not vote against a leader whose beats are lost on the way here only', async () => {
    const watchers = await peace();
    watchers.cut(EU, AP);
    await watchers.pass(3 * (leaseMs + marginMs));
    expect(watchers.events('leader-silent')).toBeGreaterThan(0);
    expect(await watchers.vote(AP)).toBeUndefined();
    expect(watchers.runs).toEqual([]);
  });

  test('votes against a leader that has fenced itself, though its store can be written to', async () => {
    const watchers = await peace();
    watchers.cut(EU, US, AP);
    await watchers.until(async () => (await watchers.vote(US)) === 1 && (await watchers.vote(AP)) === 1);
    expect(watchers.group.fences.get(EU)).toBe(1);
  });

  test('does not vote if a beat comes between its look and its vote', async () => {
    const watchers = await peace();
    watchers.cut(EU, AP);
    watchers.cut(AP, EU);
    let tried = 0;
    watchers.beforeVote = async (region) => {
      const { beat } = await watchers.group.acceptor(region).read();
      if (tried++ === 0) await watchers.group.acceptor(region).beat({ ...beat!, counter: beat!.counter + 1 });
    };
    await watchers.until(() => tried === 1);
    expect(await watchers.vote(AP)).toBeUndefined();
    expect(watchers.events('voted')).toBe(0);
    // It begins to watch anew.
    const took = await watchers.until(() => tried === 2);
    expect(took).toBeGreaterThanOrEqual(leaseMs + marginMs - lookMs);
  });

  test('takes its vote back when it sees beats elsewhere', async () => {
    const watchers = await peace();
    watchers.cut(EU, AP);
    watchers.cut(AP, EU);
    await watchers.until(async () => (await watchers.vote(AP)) === 1);
    await watchers.until(async () => (await watchers.vote(AP)) === undefined, 2_000);
    expect(watchers.events('vote-withdrawn')).toBe(1);
    expect(watchers.runs).toEqual([]);
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
  });

  test.each([
    ['forwards', HOUR],
    ['backwards', -HOUR],
  ])('does not vote any sooner when its wall clock jumps %s', async (_, jump) => {
    const watchers = await peace();
    watchers.wallOff.set(US, jump);
    await watchers.pass(1_000);
    expect(await watchers.vote(US)).toBeUndefined();
    loseLeader(watchers);
    watchers.wallOff.set(US, 2 * jump);
    await watchers.pass(leaseMs + marginMs - beatMs - 2 * lookMs);
    expect(await watchers.vote(US)).toBeUndefined();
  });

  test('that starts anew watches from the beginning', async () => {
    const watchers = await peace();
    loseLeader(watchers);
    await watchers.pass(leaseMs);
    watchers.restart(US);
    const took = await watchers.until(async () => (await watchers.vote(US)) === 1);
    expect(took).toBeGreaterThanOrEqual(leaseMs + marginMs - lookMs);
  });

  test('tells its data path who leads, as soon as somebody does', async () => {
    const watchers = await peace();
    loseLeader(watchers);
    await succeed(watchers, US, AP);
    await watchers.pass(2 * lookMs);
    for (const region of [US, AP]) {
      expect(await watchers.group.control(region).role()).toMatchObject({ epoch: 2, leader: US });
    }
  });

  test('that was away while an epoch began learns it by its beats', async () => {
    const watchers = await peace();
    watchers.group.lost.add(AP);
    watchers.asleep.add(AP);
    await succeed(watchers, EU, US);
    await watchers.pass(1_000);
    expect((await watchers.group.acceptor(AP).read()).accepted?.value.epoch).toBe(1);
    watchers.group.lost.delete(AP);
    watchers.asleep.delete(AP);
    await watchers.until(
      async () => (await watchers.group.acceptor(AP).read()).accepted?.value.epoch === 2,
      5_000,
    );
    await watchers.pass(2 * lookMs);
    expect(await watchers.group.control(AP).role()).toMatchObject({ epoch: 2, leader: US });
    expect(await watchers.group.run(readRegister(watchers.group.registerDeps(AP)))).toMatchObject({
      leader: US,
    });
  });

  test('that was away learns it by its own patience where the others who knew it have forgotten it', async () => {
    const watchers = await peace();
    const { group } = watchers;
    loseLeader(watchers);
    await succeed(watchers, US, AP);
    group.forget(AP);
    group.lost.delete(EU);
    await watchers.pass(1_000);
    watchers.asleep.delete(EU);
    const back = group.scheduler.now();
    const sealed: Epoch[] = [];
    watchers.beforeVote = async () => void sealed.push((await group.own(EU).head(LANE_0)).sealedEpoch);
    const epochIn = async (region: RegionId) => (await group.acceptor(region).read()).accepted?.value.epoch;
    // Of three, two hold different epochs, and the third holds none: what it reads of the register fails.
    const looks = () => watchers.pass(lookMs).catch((error) => expect(error.code).toBe('REGISTER_CONTENDED'));
    while ((await epochIn(EU)) !== 2 && group.scheduler.now() - back < 60_000) await looks();
    expect(await epochIn(EU)).toBe(2);
    expect(group.scheduler.now() - back).toBeGreaterThanOrEqual(leaseMs + marginMs);
    const first = founded(US, E1, 'founding');
    expect(await group.run(foundGroup(group.registerDeps(US), first))).toMatchObject({ joined: [AP] });
    expect([sealed[0], group.fences.get(EU)]).toEqual([E2, 2]);
  });
});

describe('the failover that a majority has voted for', () => {
  test('is started once by each Region, in turn, and anew after the time for a takeover', async () => {
    const watchers = await peace();
    loseLeader(watchers);
    await watchers.until(() => watchers.runs.length > 0);
    await watchers.pass(lookMs);
    expect(watchers.runs.map(({ by }) => by)).toEqual([US]);
    await watchers.pass(takeoverMs - leaseMs);
    expect(watchers.runs.map(({ input }) => input.run).toSorted()).toEqual([
      `orders-2-${AP}-1`,
      `orders-2-${US}-1`,
    ]);
    expect(watchers.runs[0]!.input).toMatchObject({
      group: 'orders',
      epoch: 1,
      kind: 'failover',
      trigger: 'votes',
      approval: false,
    });
    await watchers.until(() => watchers.runs.length === 4, takeoverMs);
    expect(watchers.runs.map(({ input }) => input.run)).toContain(`orders-2-${US}-2`);
  });

  test('is started by the replica alone where the other vote is a witness', async () => {
    const watchers = new Watchers(await new FailoverGroup([EU, US], [AP]).found(EU));
    await watchers.pass(2_000);
    loseLeader(watchers);
    await watchers.until(() => watchers.runs.length > 0);
    expect([await watchers.vote(US), await watchers.vote(AP)]).toEqual([E1, E1]);
    await watchers.pass(2 * takeoverMs);
    expect(new Set(watchers.runs.map(({ by }) => by))).toEqual(new Set([US]));
  });

  test('asks a person first where the profile says so', async () => {
    const group = await new FailoverGroup(MEMBERS).found(EU);
    group.profile = { ...PROFILES.fast, approval: true };
    const watchers = new Watchers(group);
    await watchers.pass(2_000);
    loseLeader(watchers);
    await watchers.until(() => watchers.runs.length > 0);
    expect(watchers.runs[0]!.input.approval).toBe(true);
  });

  test('is not started by a minority', async () => {
    const watchers = await peace();
    loseLeader(watchers);
    watchers.asleep.add(AP);
    await watchers.pass(3 * (leaseMs + marginMs));
    expect(await watchers.vote(US)).toBe(1);
    expect(watchers.runs).toEqual([]);
  });

  test('is held while the group is paused', async () => {
    const watchers = await peace({ paused: { by: 'jo', reason: 'a drill' } });
    loseLeader(watchers);
    await watchers.pass(3 * (leaseMs + marginMs));
    expect([await watchers.vote(US), watchers.runs]).toEqual([1, []]);
    expect(watchers.events('failover-held')).toBeGreaterThan(0);
  });

  test('that is held is given up once the leader beats again, although a majority has voted', async () => {
    const watchers = await peace({ paused: { by: 'jo', reason: 'a drill' } });
    loseLeader(watchers);
    await watchers.until(async () => (await watchers.vote(US)) === 1 && (await watchers.vote(AP)) === 1);
    watchers.group.lost.delete(EU);
    watchers.asleep.delete(EU);
    await watchers.until(() => watchers.leaseLeftMs(EU) > 0, leaseMs + marginMs);
    await watchers.pass(leaseMs);
    expect([await watchers.vote(US), await watchers.vote(AP), watchers.runs]).toEqual([
      undefined,
      undefined,
      [],
    ]);
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
  });

  test('is held until the cooldown is over', async () => {
    const cooldownUntilMs = new FailoverGroup(MEMBERS).now() + cooldownMs;
    const watchers = await peace({ cooldownUntilMs });
    loseLeader(watchers);
    await watchers.until(() => watchers.runs.length > 0, 2 * cooldownMs);
    expect(watchers.group.now()).toBeGreaterThanOrEqual(cooldownUntilMs);
    expect(watchers.group.now()).toBeLessThan(cooldownUntilMs + 5 * lookMs);
  });

  test('is held no longer once the last one is acknowledged', async () => {
    const cooldownUntilMs = new FailoverGroup(MEMBERS).now() + cooldownMs;
    const watchers = await peace({ cooldownUntilMs });
    loseLeader(watchers);
    await watchers.until(() => watchers.events('failover-held') > 0);
    const { group } = watchers;
    const amended = changeRegister(group.registerDeps(US), (value) => amend(value, { cooldownUntilMs: 0 }));
    expect((await group.run(amended)).kind).toBe('changed');
    await watchers.until(() => watchers.runs.length > 0);
    expect(group.now()).toBeLessThan(cooldownUntilMs);
  });

  test('that makes no progress is taken over, but not one whose coordinator beats', async () => {
    const watchers = await peace();
    loseLeader(watchers);
    const { group } = watchers;
    await group.vote(E1, US, AP);
    const by = { epoch: E1, coordinator: US, run: 'run', phase: 'failing-over' as const };
    await group.run(changeRegister(group.registerDeps(US), (value) => claim(value, by)));
    for (let i = 0; i < 4; i++) {
      await watchers.pass(takeoverMs / 2);
      for (const region of [US, AP]) {
        await group.acceptor(region).beat({ epoch: E2, counter: group.now(), leaseUntilMs: 0 });
      }
    }
    expect([await watchers.vote(AP), watchers.runs]).toEqual([1, []]);
    const took = await watchers.until(async () => (await watchers.vote(AP)) === 2, 2 * takeoverMs);
    expect(took).toBeGreaterThanOrEqual(takeoverMs - lookMs);
    await watchers.until(() => watchers.runs.length > 0);
    expect(watchers.runs[0]!.input.epoch).toBe(2);
  });
});

describe('after an epoch that was claimed in vain, the next', () => {
  /** EU is lost, and `claims` epochs have had no leader since. US and AP have just heard of the last. */
  async function inVain(claims: number): Promise<Watchers> {
    const watchers = await peace();
    loseLeader(watchers);
    const { group } = watchers;
    for (let index = 0; index < claims; index++) {
      const epoch = (E1 + index) as Epoch;
      await group.vote(epoch, US, AP);
      const by = { epoch, coordinator: US, run: `run-${index}`, phase: 'failing-over' as const };
      const claimed = changeRegister(group.registerDeps(US), (value) => claim(value, by));
      expect((await group.run(claimed)).kind).toBe('changed');
    }
    return watchers;
  }
  /** How long until the next is begun, ms. */
  const begun = (watchers: Watchers) => watchers.until(() => watchers.runs.length > 0, 100 * takeoverMs);
  const usual = takeoverMs + 10 * lookMs;

  test('waits where an election would find nobody, twice as long each time, up to a bound', async () => {
    const waits: number[] = [];
    for (const claims of [1, 2, 3, 9]) {
      const watchers = await inVain(claims);
      watchers.hasCandidate = async () => false;
      waits.push(await begun(watchers));
      expect(watchers.runs[0]!.input.epoch).toBe(1 + claims);
      expect(watchers.events('failover-held')).toBeGreaterThan(0);
    }
    for (const [index, times] of [2, 4, 8, 64].entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(times * takeoverMs);
      expect(waits[index]).toBeLessThan(times * takeoverMs + usual);
    }
  });

  test('is begun as soon as there is a candidate', async () => {
    const watchers = await inVain(5);
    watchers.hasCandidate = async () => false;
    await watchers.pass(5 * takeoverMs);
    expect(watchers.runs).toEqual([]);
    watchers.hasCandidate = async () => true;
    expect(await begun(watchers)).toBeLessThan(usual);
  });

  test('is not held up where somebody may be promoted, or where nobody knows', async () => {
    const answers = [
      async () => true,
      () => never as Promise<boolean>,
      () => Promise.reject(new Error('no answer')),
    ];
    for (const answer of answers) {
      const watchers = await inVain(5);
      watchers.hasCandidate = answer;
      expect(await begun(watchers)).toBeLessThan(usual);
    }
  });

  test('asks nothing while there is a leader, or while the first failover is under way', async () => {
    const watchers = await peace();
    let asked = 0;
    watchers.hasCandidate = async () => {
      asked += 1;
      return false;
    };
    loseLeader(watchers);
    await watchers.until(() => watchers.runs.length > 0);
    const { group } = watchers;
    const by = { epoch: E1, coordinator: US, run: 'run', phase: 'failing-over' as const };
    await group.run(changeRegister(group.registerDeps(US), (value) => claim(value, by)));
    for (let index = 0; index < 10; index++) {
      await watchers.pass(takeoverMs / 8);
      for (const region of [US, AP]) {
        await group.acceptor(region).beat({ epoch: E2, counter: group.now(), leaseUntilMs: 0 });
      }
    }
    expect([asked, watchers.runs.length]).toEqual([0, 1]);
  });
});
