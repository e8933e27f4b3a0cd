import { beforeEach, describe, expect, test } from 'vitest';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { type Change, claim, install, type Register } from '#lib/domain/control/register.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import { claimEpoch } from '#lib/usecases/control/claim.ts';
import { electLeader } from '#lib/usecases/control/elect.ts';
import { type FailoverState, PATIENCE_MS } from '#lib/usecases/control/failover-deps.ts';
import { fenceOld } from '#lib/usecases/control/fence.ts';
import { handOver } from '#lib/usecases/control/hand-over.ts';
import { abandonSwitchover, giveUpLease } from '#lib/usecases/control/yield.ts';
import { FailoverGroup, targetOf } from '../../support/failover-group.ts';
import { never } from '../../support/intercepted-log.ts';
import { E1, E2, E3, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { Watchers } from '../../support/watchers.ts';

const STATE: FailoverState = {
  input: {
    group: GROUP,
    epoch: E1,
    kind: 'switchover',
    run: 'run',
    trigger: 'operator',
    successor: US,
    approval: false,
  },
};

let group: FailoverGroup;
beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  for (const [pk, value] of [
    ['a', 1],
    ['b', 2],
    ['a', 3],
  ] as const) {
    group.put(EU, pk, value);
    await group.capture(EU);
  }
  await group.follow(US, AP);
  // The first copies are whole once a later heartbeat has come after them.
  group.scheduler.advance(1_000);
  group.beat(EU);
  await group.capture(EU);
  await group.follow(US, AP);
});

const run = (state: FailoverState = STATE) => group.run(handOver(group.failoverDeps(EU), state));
const votes = async () =>
  Promise.all(group.members.map(async (region) => (await group.acceptor(region).read()).vote));
const endOf = async (region: typeof EU) => group.log(region).head(LANE_0);

/** The same but for some methods. */
function differing<T extends object>(sound: T, methods: Partial<T>): T {
  return new Proxy(sound, {
    get: (_, name) => {
      const own = Reflect.get(methods, name);
      const value = own ?? Reflect.get(sound, name);
      return typeof value === 'function' && own === undefined ? value.bind(sound) : value;
    },
  });
}

describe('a switchover', () => {
  test('promotes the successor once its log holds all that was written, and says that nothing is lost', async () => {
    // Written, but in no log yet when it begins.
    group.put(EU, 'c', 4);
    const result = await run();
    expect(result).toMatchObject({
      outcome: 'handed-over',
      yield: { outcome: 'yielded' },
      claim: { outcome: 'claimed', epoch: E2, from: EU },
      fence: { outcome: 'fenced' },
      elect: { outcome: 'elected', winner: US, rpo: { records: 0, ms: 0 } },
      promote: { outcome: 'promoted', leader: US },
      repoint: { outcome: 'submitted', target: targetOf(US) },
    });
    const [eu, us] = [await endOf(EU), await endOf(US)];
    expect(us).toMatchObject({ lastLsn: eu.lastLsn, chain: eu.chain, sealedEpoch: E2 });
    expect(eu.sealedEpoch).toBe(E2);
    for (const register of await group.registers()) {
      expect(register).toMatchObject({ epoch: E2, phase: 'leading', leader: US });
    }
    expect(await group.record.read()).toEqual({ epoch: E2, target: targetOf(US) });
    const steps = (await group.history.of(E2)).map(({ step }) => step);
    expect(steps.toSorted()).toEqual(['claim', 'drain', 'elect', 'fence', 'promote', 'yield']);
  });

  test('loses nothing, and says so, though its own Region is the last to answer', async () => {
    const deps = group.failoverDeps(EU);
    const { acceptors } = deps;
    const slow = group.reach(EU, acceptors.of(EU));
    const read = async () => {
      await group.sleep(100);
      return slow.read();
    };
    const of = (region: RegionId) =>
      region === EU
        ? new Proxy(slow, { get: (_, name) => (name === 'read' ? read : Reflect.get(slow, name)) })
        : acceptors.of(region);
    const result = await group.run(handOver({ ...deps, acceptors: { ...acceptors, of } }, STATE));
    expect(result).toMatchObject({ outcome: 'handed-over', elect: { rpo: { records: 0, ms: 0 } } });
  });

  test('waits for no Region but its own to say what is lost', async () => {
    group.put(EU, 'c', 4);
    const deps = group.failoverDeps(EU);
    const { acceptors } = deps;
    const of = (region: RegionId) =>
      region === EU ? acceptors.of(region) : differing(acceptors.of(region), { read: () => never });
    const result = await group.run(handOver({ ...deps, acceptors: { ...acceptors, of } }, STATE));
    expect(result).toMatchObject({ outcome: 'handed-over', elect: { rpo: { records: 0, ms: 0 } } });
    const steps = await group.history.of(E2);
    const atOf = (step: string) => steps.find((each) => each.step === step)!.atMs;
    expect(atOf('elect') - atOf('claim')).toBeLessThan(PATIENCE_MS);
  });

  test('has the successor bring its store up to its log by itself, once a look, and lead', async () => {
    group.put(EU, 'c', 4);
    expect((await run()).outcome).toBe('handed-over');
    const watchers = new Watchers(group);
    for (const region of [EU, AP]) watchers.asleep.add(region);
    let tries = 0;
    watchers.drain = async (region, mayGoOn) => {
      expect(mayGoOn()).toBe(true);
      tries += 1;
      if (tries === 1) throw new Error('its lease was taken');
      if (tries === 3) await group.apply(region);
      // What it has done is not all: that is no reason to lead.
      return { state: await group.control(region).applyState(LANE_0) };
    };
    await watchers.pass(2 * PROFILES.fast.lookMs);
    expect(tries).toBe(2);
    expect(watchers.leaseLeftMs(US)).toBe(0);
    await watchers.pass(2 * PROFILES.fast.lookMs);
    expect(tries).toBe(3);
    expect(await group.control(US).role()).toMatchObject({ leader: US, epoch: E2 });
    expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
    expect(watchers.events('drain-failed')).toBe(1);
  });

  test('leaves the successor to lead once its store has drained: its sentinel waits for that', async () => {
    group.put(EU, 'c', 4);
    expect((await run()).outcome).toBe('handed-over');
    const watchers = new Watchers(group);
    for (const region of [EU, AP]) watchers.asleep.add(region);
    await watchers.pass(1_000);
    expect(await group.control(US).role()).toMatchObject({ leader: EU, epoch: E1 });
    expect(watchers.leaseLeftMs(US)).toBe(0);
    await group.apply(US);
    await watchers.pass(1_000);
    expect(await group.control(US).role()).toMatchObject({ leader: US, epoch: E2 });
    expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
  });

  describe('has the successor ask for its lease ahead', () => {
    let watchers: Watchers;
    let said: number;
    const change = async (to: (register: Register) => Change) =>
      expect((await group.run(changeRegister(group.registerDeps(EU), to))).kind).toBe('changed');
    const by = { coordinator: EU, run: 'run', cooldownUntilMs: 0 } as const;

    beforeEach(async () => {
      watchers = new Watchers(group);
      for (const region of [EU, AP]) watchers.asleep.add(region);
      await group.vote(E1, ...group.members);
      await change((value) => claim(value, { ...by, epoch: E1, phase: 'switching-over', successor: US }));
      // The coordinator goes on meanwhile, and says so: its counter is the time.
      said = group.now() + 60;
      for (const at of [EU, AP]) await group.acceptor(at).beat({ epoch: E2, counter: said, leaseUntilMs: 0 });
      await watchers.pass(PROFILES.fast.lookMs);
    });

    test('and gets it with the first try, whatever the coordinator has said meanwhile', async () => {
      const counters = group.members.map(async (at) => (await group.acceptor(at).read()).beat?.counter);
      const [own] = await Promise.all(counters);
      expect(await Promise.all(counters)).toEqual([own, own, own]);
      // The next try would have counted on from what the others hold.
      expect(own).toBeGreaterThan(said + 2);
      expect(watchers.leaseLeftMs(US)).toBeGreaterThan(PROFILES.fast.leaseMs - 2 * PROFILES.fast.lookMs);
    });

    test('and tell nobody of it before it leads, but in that very moment', async () => {
      const lent = watchers.leaseLeftMs(US);
      expect(lent).toBeGreaterThan(0);
      for (const at of group.members) {
        const { beat } = await group.acceptor(at).read();
        expect(beat).toMatchObject({ epoch: E2, leaseUntilMs: 0 });
      }
      // Once: who asked again would seem to be a leader that goes on.
      await watchers.pass(PROFILES.fast.leaseMs / 2);
      expect(watchers.leaseLeftMs(US)).toBeLessThan(lent);
      await change((value) => install(value, { ...by, epoch: E2, leader: US }));
      // What is left of it, it tells by itself: nobody else can be reached any more.
      for (const region of [EU, AP]) group.lost.add(region);
      const untilMs = group.now() + watchers.leaseLeftMs(US);
      await watchers.pass(PROFILES.fast.lookMs);
      expect((await group.acceptor(US).read()).beat).toMatchObject({ epoch: E2, leaseUntilMs: untilMs });
    });

    test('and finds it as it left it: the run says that it goes on everywhere else', async () => {
      const { beat } = await group.acceptor(US).read();
      const claimed = {
        outcome: 'claimed',
        epoch: E2,
        from: EU,
        led: E1,
        coordinator: EU,
        silent: [],
      } as const;
      await watchers.pass(2 * PROFILES.fast.lookMs);
      await group.run(fenceOld(group.failoverDeps(EU), { ...STATE, claim: claimed }, US));
      expect((await group.acceptor(US).read()).beat).toEqual(beat);
      for (const at of [EU, AP]) {
        const { counter } = (await group.acceptor(at).read()).beat!;
        expect(counter).toBeGreaterThan(beat!.counter);
      }
    });

    test('for that epoch alone', async () => {
      expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
      await group.vote(E2, ...group.members);
      await change((value) => claim(value, { ...by, epoch: E2, phase: 'failing-over' }));
      await change((value) => install(value, { ...by, epoch: E3, leader: US }));
      for (const region of [EU, AP]) group.lost.add(region);
      await group.control(US).nameLeader({ epoch: E3, leader: US });
      await group.acceptor(US).unvote(E2);
      await watchers.pass(PROFILES.fast.lookMs);
      expect((await group.acceptor(US).read()).beat).toMatchObject({ epoch: E3, leaseUntilMs: 0 });
    });
  });

  test('whose successor has asked for its lease leaves what the leader has said to those who replace both', async () => {
    const { lastCommitMs: commitMs, lastLsn: lsn } = await endOf(EU);
    // The leader's last beat has not come to the successor.
    for (const [counter, beyond, regions] of [
      [1, 1, [EU, US, AP]],
      [2, 500, [EU, AP]],
    ] as const) {
      const beat = {
        epoch: E1,
        counter,
        leaseUntilMs: group.now(),
        granted: beyond,
        end: { lsn, commitMs, beyond },
      };
      for (const at of regions) await group.acceptor(at).beat(beat);
    }
    const watchers = new Watchers(group);
    for (const region of [EU, AP]) watchers.asleep.add(region);
    await group.vote(E1, ...group.members);
    const by = { coordinator: EU, run: 'run', cooldownUntilMs: 0 } as const;
    const to = { ...by, epoch: E1, phase: 'switching-over', successor: US } as const;
    await group.run(changeRegister(group.registerDeps(EU), (value) => claim(value, to)));
    await watchers.pass(PROFILES.fast.lookMs);
    expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
    group.lost.add(EU);
    await group.vote(E2, US, AP);
    const state: FailoverState = {
      input: { ...STATE.input, kind: 'failover', epoch: E2, run: 'another', successor: AP },
    };
    const deps = group.failoverDeps(AP);
    const claimed = await group.run(claimEpoch(deps, state));
    const fence = await group.run(fenceOld(deps, { ...state, claim: claimed }));
    const elected = await group.run(electLeader(deps, { ...state, claim: claimed, fence }));
    expect(elected).toMatchObject({ outcome: 'elected', rpo: { records: 500 } });
  });

  describe('names the successor while the rest of the log is on its way:', () => {
    /** Hands over to a successor whose log takes nothing more until it is told to. */
    const cutShort = async () => {
      group.put(EU, 'c', 4);
      const deps = group.failoverDeps(EU);
      const { peers } = deps;
      const log = (at: RegionId): ReplicaLog =>
        at === US ? differing(peers.log(at), { append: () => never }) : peers.log(at);
      const result = await group.run(handOver({ ...deps, peers: { ...peers, log } }, STATE));
      expect(result).toMatchObject({ outcome: 'claimed', claim: { epoch: E2 } });
      const leadsFrom = `${(await endOf(EU)).lastLsn}`;
      for (const register of await group.registers())
        expect(register).toMatchObject({ epoch: E2, phase: 'leading', leader: US, leadsFrom });
      expect((await endOf(US)).lastLsn).toBeLessThan(BigInt(leadsFrom));
    };
    const roles = async () =>
      Promise.all(group.members.map(async (at) => (await group.control(at).role()).leader));

    test('until it is there, it leads nothing, nobody follows it, and DNS stays', async () => {
      await cutShort();
      const watchers = new Watchers(group);
      await group.apply(US);
      await watchers.pass(PROFILES.fast.leaseMs);
      expect(watchers.leaseLeftMs(US)).toBe(0);
      expect(await roles()).toEqual([EU, EU, EU]);
      expect(await group.record.read()).toEqual({ epoch: E1, target: targetOf(EU) });
    });

    test.each([
      ['the same step', async () => expect(await run()).toMatchObject({ outcome: 'handed-over' })],
      [
        'taking it back',
        async () =>
          expect(await group.run(abandonSwitchover(group.failoverDeps(EU), STATE))).toMatchObject({
            outcome: 'handed-over',
            promote: { leader: US },
          }),
      ],
    ])('a process that broke off before is made up for by %s', async (_, again) => {
      await cutShort();
      await again();
      const [eu, us] = [await endOf(EU), await endOf(US)];
      expect(us).toMatchObject({ lastLsn: eu.lastLsn, chain: eu.chain });
      await group.apply(US);
      const watchers = new Watchers(group);
      await watchers.pass(PROFILES.fast.leaseMs);
      expect(watchers.leaseLeftMs(US)).toBeGreaterThan(0);
      await watchers.pass(PROFILES.fast.leaseMs);
      expect(await roles()).toEqual([US, US, US]);
    });
  });

  test('seals the log of the successor as soon as its own Region has accepted, and not before', async () => {
    const deps = group.failoverDeps(EU);
    const { acceptors, peers } = deps;
    const order: string[] = [];
    const of = (region: RegionId) => {
      const at = acceptors.of(region);
      return differing(at, {
        accept: async (...call) => {
          const answer = await at.accept(...call);
          order.push(`${region} accepts ${answer.acceptor.accepted?.value.phase}`);
          return answer;
        },
      });
    };
    const log = (at: RegionId): ReplicaLog => {
      const inner = peers.log(at);
      return differing(inner, {
        seal: (...call) => {
          order.push(`${at} is sealed`);
          return inner.seal(...call);
        },
      });
    };
    const changed = { ...deps, acceptors: { ...acceptors, of }, peers: { ...peers, log } };
    expect(await group.run(handOver(changed, STATE))).toMatchObject({ outcome: 'handed-over' });
    const begin = order.slice(order.indexOf(`${EU} accepts switching-over`));
    expect(begin.slice(0, 2)).toEqual([`${EU} accepts switching-over`, `${US} is sealed`]);
    expect(order.indexOf(`${US} is sealed`)).toBeGreaterThan(0);
  });

  test('goes on where a store was looked at after its log, which went on meanwhile', async () => {
    const stale = new Map(await Promise.all([EU, US, AP].map(async (at) => [at, await endOf(at)] as const)));
    group.put(EU, 'c', 4);
    await group.capture(EU);
    await group.follow(US, AP);
    const deps = group.failoverDeps(EU);
    const { peers } = deps;
    const log = (at: typeof US): ReplicaLog => {
      const own = peers.log(at);
      const now = own.head.bind(own);
      return Object.assign(own, {
        head: async (lane: typeof LANE_0) => {
          const first = stale.get(at);
          stale.delete(at);
          return first ?? (await now(lane));
        },
      });
    };
    const result = await group.run(handOver({ ...deps, peers: { ...peers, log } }, STATE));
    expect(result).toMatchObject({ outcome: 'handed-over', promote: { leader: US } });
  });

  test('in which no majority promises to hear the claim stops nothing', async () => {
    const deps = group.failoverDeps(EU);
    const { acceptors } = deps;
    const of = (at: typeof US) =>
      at === EU
        ? acceptors.of(at)
        : Object.assign(Object.create(acceptors.of(at)) as ReturnType<typeof acceptors.of>, {
            prepare: () => Promise.reject(new Error('lost')),
          });
    const handing = handOver({ ...deps, acceptors: { ...acceptors, of } }, STATE);
    await expect(group.run(handing)).rejects.toMatchObject({ code: 'REGISTER_UNAVAILABLE' });
    expect(await votes()).toEqual([undefined, undefined, undefined]);
  });

  describe('of a table whose stream has several shards', () => {
    /** Of keys that begin with `_`, by the number after them; all others are in the first. */
    const byNumber = (count: number) => (key: string) =>
      `shard-${key.startsWith('_') ? Number(key.split('.').at(-1)) % count || 0 : 0}`;
    const shards = (count: number) => Array.from({ length: count }, (_, index) => `shard-${index}`);
    const rpoOf = (result: Awaited<ReturnType<typeof run>>) =>
      result.outcome === 'handed-over' && result.elect.outcome === 'elected' ? result.elect.rpo : undefined;
    const ZERO = { records: 0, ms: 0 };
    const UNKNOWN = { records: null, ms: null };

    type Stream = ReturnType<FailoverGroup['stream']>;
    /** @param changed what is done otherwise at the trial and at the last writes. */
    const handOverWith = (changed: Partial<Stream> & { readonly lastBeats?: () => void } = {}) => {
      const { stream, ...deps } = group.failoverDeps(EU);
      const beat: Stream['beat'] = async (count, atMs) => {
        const isTrial = (await votes()).every((vote) => vote === undefined);
        if (!isTrial) changed.lastBeats?.();
        counts.push(count);
        await stream.beat(count, atMs);
        if (isTrial) await group.follow(US, AP);
      };
      return group.run(handOver({ ...deps, stream: { ...stream, beat, ...changed } }, STATE));
    };
    /** How many heartbeats were put, each time. */
    let counts: number[];

    beforeEach(() => {
      counts = [];
      group.shards = shards(3);
      group.shardOf = byNumber(3);
    });

    test('loses nothing, as a heartbeat has come in each of them', async () => {
      group.put(EU, 'c', 4);
      expect(rpoOf(await handOverWith())).toEqual(ZERO);
      expect(counts).toEqual([48, 48]);
      const { marks } = await endOf(US);
      expect(Object.keys(marks).toSorted()).toEqual(['shard', ...shards(3)].map((shard) => `${EU}/${shard}`));
    });

    test('is taken back where one of them is not captured to its end', async () => {
      const result = await handOverWith({ lastBeats: () => group.stuck.add('shard-1') });
      expect(result).toMatchObject({
        outcome: 'refused',
        stopped: true,
        why: expect.stringContaining('1 of 3 shards'),
      });
    });

    test('tries more heartbeats where the first miss one', async () => {
      group.shards = ['shard-0', 'shard-2'];
      group.shardOf = (key) => (key.endsWith('.37') ? 'shard-2' : 'shard-0');
      expect(rpoOf(await handOverWith())).toEqual(ZERO);
      expect(counts).toEqual([32, 64, 64]);
    });

    test('says that nobody can tell what is lost where no heartbeat comes in one of them', async () => {
      group.shards = shards(4);
      const result = await handOverWith();
      expect(result).toMatchObject({
        yield: { unproven: '1 of the 4 shards of its stream showed none of 64 heartbeats' },
      });
      expect(rpoOf(result)).toEqual(UNKNOWN);
    });

    test('says so, too, where the shards cannot be listed', async () => {
      const result = await handOverWith({ newestShards: () => Promise.reject(new Error('not authorized')) });
      expect(result).toMatchObject({ yield: { unproven: expect.stringContaining('not authorized') } });
      expect(rpoOf(result)).toEqual(UNKNOWN);
    });

    test('lists them again where one has ended since', async () => {
      let lists = 0;
      const newestShards = async () => {
        lists += 1;
        return group.shards.map((shard) => `${EU}/${shard}`);
      };
      const lastBeats = () => {
        group.shards = ['shard-0', 'shard-1', 'shard-2a', 'shard-2b'];
        group.shardOf = (key) => {
          const shard = byNumber(3)(key);
          return shard === 'shard-2' ? `shard-2${key.length % 2 === 0 ? 'a' : 'b'}` : shard;
        };
      };
      expect(rpoOf(await handOverWith({ newestShards, lastBeats }))).toEqual(ZERO);
      expect(lists).toBe(2);
    });

    test('takes one heartbeat, and no trial, where there is one', async () => {
      group.shards = ['shard'];
      group.shardOf = () => 'shard';
      expect(rpoOf(await handOverWith())).toEqual(ZERO);
      expect(counts).toEqual([1]);
    });
  });

  test('is not over with a record of a later time: that is no heartbeat', async () => {
    const { stream, ...deps } = group.failoverDeps(EU);
    const beat: typeof stream.beat = async () => {
      // The stream's clock may be ahead of the sentinel's.
      group.scheduler.advance(2_000);
      group.put(EU, 'late', 1);
      await group.capture(EU);
    };
    expect(await group.run(handOver({ ...deps, stream: { ...stream, beat } }, STATE))).toMatchObject({
      outcome: 'refused',
      why: expect.stringContaining('not logged'),
    });
  });

  test('goes on without a third Region', async () => {
    group.lost.add(AP);
    expect((await run()).outcome).toBe('handed-over');
  });

  test.each([
    ['may not lead', () => group.noFailover.add(US), 'us-east-1'],
    ['does not answer', () => group.lost.add(US), 'there is no successor'],
  ])('to a Region that %s is refused before anything is stopped', async (_, spoil, why) => {
    spoil();
    expect(await run()).toMatchObject({
      outcome: 'refused',
      code: 'FAILOVER_REFUSED',
      why: expect.stringContaining(why),
      stopped: false,
    });
    expect(await votes()).toEqual([undefined, undefined, undefined]);
  });

  test('to a store that does not keep up is refused before anything is stopped', async () => {
    group.put(EU, 'c', 4);
    await group.capture(EU);
    expect(await run()).toMatchObject({ why: expect.stringContaining('1 records behind'), stopped: false });
    expect(await votes()).toEqual([undefined, undefined, undefined]);
  });

  test('by a plan that is stale, or from another Region than the leader, is refused', async () => {
    const stale = { ...STATE, input: { ...STATE.input, epoch: E2 } };
    expect(await run(stale)).toMatchObject({ code: 'PLAN_STALE', stopped: false });
    const elsewhere = await group.run(handOver(group.failoverDeps(US), STATE));
    expect(elsewhere).toMatchObject({ code: 'NOT_LEADER', stopped: false });
    expect(await votes()).toEqual([undefined, undefined, undefined]);
  });

  test('whose last writes are not logged is taken back: the leader leads the epoch that was claimed', async () => {
    group.capturing = false;
    expect(await run()).toMatchObject({ outcome: 'refused', code: 'FAILOVER_REFUSED', stopped: true });
    await group.run(abandonSwitchover(group.failoverDeps(EU), STATE));
    for (const register of await group.registers()) {
      expect(register).toMatchObject({ epoch: E2, phase: 'leading', leader: EU });
    }
    expect(await group.control(EU).role()).toMatchObject({ leader: EU, epoch: E2 });
    expect(await group.record.read()).toEqual({ epoch: E2, target: targetOf(EU) });
    group.capturing = true;
    const watchers = new Watchers(group);
    for (const region of [US, AP]) watchers.asleep.add(region);
    await watchers.pass(1_000);
    expect(watchers.leaseLeftMs(EU)).toBeGreaterThan(0);
  });

  test('is taken back also where the register takes its time to answer', async () => {
    group.capturing = false;
    await run();
    const deps = group.failoverDeps(EU);
    const { acceptors } = deps;
    const of = (at: typeof US) =>
      new Proxy(acceptors.of(at), {
        get:
          (target, name) =>
          async (...given: never[]) => {
            await group.sleep(300);
            return (target[name as 'read'] as (...to: never[]) => unknown)(...given);
          },
      });
    const result = await group.run(abandonSwitchover({ ...deps, acceptors: { ...acceptors, of } }, STATE));
    expect(result.outcome).toBe('abandoned');
    for (const register of await group.registers()) {
      expect(register).toMatchObject({ epoch: E2, phase: 'leading', leader: EU });
    }
  });

  test('is not said to be taken back where nobody can tell what became of it', async () => {
    group.capturing = false;
    await run();
    for (const region of [US, AP]) group.lost.add(region);
    await expect(group.run(abandonSwitchover(group.failoverDeps(EU), STATE))).rejects.toMatchObject({
      code: 'REGISTER_UNAVAILABLE',
    });
  });

  test('that has stopped writes and is refused at its next try says that they are stopped', async () => {
    const deps = group.failoverDeps(EU);
    expect((await group.run(giveUpLease(deps, STATE))).outcome).toBe('given-up');
    group.noFailover.add(US);
    expect(await run()).toMatchObject({ outcome: 'refused', code: 'FAILOVER_REFUSED', stopped: true });
    expect((await group.run(abandonSwitchover(deps, STATE))).outcome).toBe('abandoned');
    expect(await votes()).toEqual([undefined, undefined, undefined]);
  });

  test('that was cut off after the promotion goes on from there', async () => {
    expect((await run()).outcome).toBe('handed-over');
    expect(await run()).toMatchObject({
      outcome: 'handed-over',
      elect: { winner: US, rpo: { records: null } },
      promote: { outcome: 'promoted', leader: US, epoch: E2 },
    });
  });

  test('that was cut off after its claim goes on from there', async () => {
    const deps = group.failoverDeps(EU);
    const given = await group.run(giveUpLease(deps, STATE));
    if (given.outcome !== 'given-up') throw new Error(given.why);
    await group.run(claimEpoch(deps, STATE, { by: given.by }));
    expect(await run()).toMatchObject({
      outcome: 'claimed',
      claim: { outcome: 'claimed', epoch: E2 },
      yield: { outcome: 'yielded', by: given.by },
    });
  });
});
