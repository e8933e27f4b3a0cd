import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Ballot, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import { amend, founded, type Register } from '#lib/domain/control/register.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { changeRegister, type RegisterDeps, readRegister } from '#lib/usecases/control/change-register.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';
import { E1 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const NEW = parseRegionId('eu-central-1');
const FIRST = founded(EU, E1, 'founding');

/** Acceptors of Regions, each of which can be away, or lose its control table. */
class Regions {
  readonly away = new Set<RegionId>();
  readonly #stores = new Map<RegionId, MemoryAcceptor>();
  #chance = 0;

  store(region: RegionId): MemoryAcceptor {
    const store = this.#stores.get(region) ?? new MemoryAcceptor();
    this.#stores.set(region, store);
    return store;
  }

  /** The control table is made anew: nothing is left of what this Region has promised, accepted and voted. */
  wipe(region: RegionId): void {
    this.#stores.delete(region);
  }

  of(...members: readonly RegionId[]): RegisterDeps {
    return {
      acceptors: {
        members,
        of: (region) => {
          if (!this.away.has(region)) return this.store(region);
          return new Proxy({} as AcceptorStore, { get: () => async () => Promise.reject(new Error('away')) });
        },
      },
      region: EU,
      chance: () => `${this.#chance++}`,
      random: () => 0.5,
      sleep: async (ms) => {
        if (ms >= 1_000) await new Promise(() => {});
      },
    };
  }

  async without<T>(region: RegionId, work: () => Promise<T>): Promise<T> {
    this.away.add(region);
    return work().finally(() => this.away.delete(region));
  }
}

function until(cooldownUntilMs: number) {
  return (register: Register) => amend(register, { cooldownUntilMs });
}

/** Epoch 2, led by US, as after a failover. */
async function second(deps: RegisterDeps): Promise<string> {
  for (const region of deps.acceptors.members) await deps.acceptors.of(region).vote(E1, 'over');
  const register = { ...founded(US, 2 as Epoch, 'run') };
  return (await changeRegister(deps, () => ({ kind: 'changed', register }))).kind;
}

describe('a group is founded', () => {
  test('by all of its Regions: one that is away may know of a leader', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await regions.without(AP, async () => {
      await expect(foundGroup(group, FIRST)).rejects.toMatchObject({ code: 'REGISTER_UNAVAILABLE' });
    });
    expect(await foundGroup(group, FIRST)).toEqual({ register: FIRST, joined: [EU, US, AP] });
    expect(await readRegister(group)).toEqual(FIRST);
  });

  test('and its leader hears of it last: it goes by its own item', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    const refusing = new Proxy(regions.store(AP), {
      get: (store, name) => {
        if (name === 'join') return async () => Promise.reject(new Error('throttled'));
        const member: unknown = Reflect.get(store, name, store);
        return typeof member === 'function' ? member.bind(store) : member;
      },
    });
    const of = (region: RegionId) => (region === AP ? refusing : group.acceptors.of(region));
    const acceptors = { members: group.acceptors.members, of };
    await expect(foundGroup({ ...group, acceptors }, FIRST)).rejects.toMatchObject({
      code: 'REGISTER_CONTENDED',
    });
    expect((await regions.store(EU).read()).accepted).toBeUndefined();
    expect((await foundGroup(group, FIRST)).register).toEqual(FIRST);
  });

  test('again where the first try broke off', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await regions.store(US).join('000000000003#eu-west-1#x' as Ballot, FIRST);
    await expect(readRegister(group)).rejects.toMatchObject({ code: 'REGISTER_FORGOTTEN' });
    const other = founded(AP, E1, 'founding');
    expect(await foundGroup(group, other)).toEqual({ register: FIRST, joined: [EU, AP] });
    expect(await readRegister(group)).toEqual(FIRST);
  });

  test('once: with a leader it keeps it', async () => {
    const group = new Regions().of(EU, US, AP);
    await foundGroup(group, FIRST);
    await second(group);
    expect(await foundGroup(group, FIRST)).toMatchObject({ register: { epoch: 2, leader: US }, joined: [] });
  });
});

describe('a Region that is added', () => {
  test('takes over the epoch in force, and counts from then on', async () => {
    const regions = new Regions();
    await foundGroup(regions.of(EU, US, AP), FIRST);
    await second(regions.of(EU, US, AP));
    const group = regions.of(EU, US, AP, NEW);
    const register = await readRegister(group);
    expect((await regions.store(NEW).read()).accepted).toBeUndefined();
    expect(await foundGroup(group, FIRST)).toEqual({ register, joined: [NEW] });
    const { accepted, vote } = await regions.store(NEW).read();
    expect([accepted?.value, vote]).toEqual([register, undefined]);
  });

  test('takes the place of one that is lost for good: added with two of three there, which is then taken out', async () => {
    const regions = new Regions();
    await foundGroup(regions.of(EU, US, AP), FIRST);
    await second(regions.of(EU, US, AP));
    regions.away.add(EU);
    const four = regions.of(EU, US, AP, NEW);
    // Of four, three must agree: until the new one is taken in, two cannot.
    await expect(readRegister(four)).rejects.toMatchObject({ code: 'REGISTER_FORGOTTEN' });
    expect(await foundGroup(four, FIRST)).toMatchObject({ register: { leader: US }, joined: [NEW] });
    const three = regions.of(US, AP, NEW);
    regions.away.add(AP);
    expect(await readRegister(three)).toMatchObject({ epoch: 2, leader: US });
    expect(await changeRegister(three, until(7))).toMatchObject({ kind: 'changed' });
  });
});

describe('a Region that has lost its control table', () => {
  test('counts for nothing, though it answers, until it is taken in', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await foundGroup(group, FIRST);
    // Only US and AP hold the newest value.
    await regions.without(EU, () => changeRegister(group, until(7)));
    regions.wipe(AP);
    await regions.without(US, async () => {
      const named = { code: 'REGISTER_FORGOTTEN', message: expect.stringContaining(AP) };
      await expect(readRegister(group)).rejects.toMatchObject(named);
      await expect(foundGroup(group, FIRST)).rejects.toMatchObject(named);
    });
    expect(await changeRegister(group, (register) => ({ kind: 'changed', register }))).toMatchObject({
      register: { cooldownUntilMs: 7 },
    });
    expect(await regions.store(AP).read()).not.toHaveProperty('accepted');
  });

  test('withholds no claim, which is tried again where an answer of the others is lost', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await foundGroup(group, FIRST);
    regions.wipe(AP);
    const us = regions.store(US);
    const accept = us.accept.bind(us);
    us.accept = async () => {
      us.accept = accept;
      throw new Error('lost');
    };
    expect(await second(group)).toBe('changed');
  });

  test('lends the old leader no lease, though it has forgotten its vote', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await foundGroup(group, FIRST);
    await regions.without(EU, () => second(regions.of(US, AP)));
    regions.wipe(AP);
    const beat = { epoch: E1, counter: 9, leaseUntilMs: 0 };
    expect((await regions.store(AP).beat(beat)).kind).toBe('stale');
    await regions.store(EU).vote(E1, 'over');
    expect(await foundGroup(group, FIRST)).toMatchObject({ register: { epoch: 2 }, joined: [AP] });
    expect((await regions.store(AP).beat(beat)).kind).toBe('deposed');
    expect((await regions.store(AP).beat({ ...beat, epoch: 2 as Epoch })).kind).toBe('lent');
  });

  test('is not founded anew with all Regions there, where one is left that has seen more than a founding', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await foundGroup(group, FIRST);
    await changeRegister(group, until(7));
    regions.wipe(US);
    regions.wipe(AP);
    await expect(foundGroup(group, FIRST)).rejects.toMatchObject({ code: 'REGISTER_FORGOTTEN' });
    expect(await regions.store(AP).read()).not.toHaveProperty('accepted');
  });

  test('is given nothing that the others have not accepted first', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await foundGroup(group, FIRST);
    regions.wipe(AP);
    const us = regions.store(US);
    us.accept = async () => Promise.reject(new Error('lost'));
    await expect(foundGroup(group, FIRST)).rejects.toMatchObject({ code: 'REGISTER_CONTENDED' });
    expect(await regions.store(AP).read()).not.toHaveProperty('accepted');
  });

  test('is taken in by an operator with all of the others, who know what it knew', async () => {
    const regions = new Regions();
    const group = regions.of(EU, US, AP);
    await foundGroup(group, FIRST);
    await regions.without(EU, () => changeRegister(group, until(7)));
    regions.wipe(AP);
    expect(await foundGroup(group, FIRST)).toMatchObject({ register: { cooldownUntilMs: 7 }, joined: [AP] });
    expect(await regions.without(US, () => readRegister(group))).toMatchObject({ cooldownUntilMs: 7 });
  });
});

test('in any order of messages, whichever Region forgets at any time: no change that was made is lost', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.constantFrom([EU, US, AP], [EU, US, AP, NEW]),
      fc.nat(3),
      fc.nat(20),
      fc.infiniteStream(fc.nat(11)),
      async (s, members, which, when, fates) => {
        const regions = new Regions();
        await foundGroup(regions.of(...members), FIRST);
        const victim = members[which % members.length]!;
        let calls = 0;
        const remote = (at: RegionId): AcceptorStore => {
          const call =
            (name: keyof AcceptorStore) =>
            async (...given: never[]) => {
              // What was sent to the table that is gone is not answered by the new one.
              const table = regions.store(at);
              await s.schedule(Promise.resolve());
              calls += 1;
              if (calls === when) regions.wipe(victim);
              const fate = fates.next().value;
              if (fate === 0 || table !== regions.store(at)) throw new Error('lost');
              const answer = await (table[name] as (...parameters: never[]) => Promise<unknown>)(...given);
              await s.schedule(Promise.resolve());
              if (fate === 1) throw new Error('the answer was lost');
              return answer;
            };
          return new Proxy({} as AcceptorStore, { get: (_, name) => call(name as keyof AcceptorStore) });
        };
        const deps = (region: RegionId) => ({
          ...regions.of(...members),
          region,
          acceptors: { members, of: remote },
          sleep: (ms: number) => (ms >= 1_000 ? new Promise<void>(() => {}) : s.schedule(Promise.resolve())),
        });
        const made = new Set<string>();
        const add = async (by: RegionId, name: string) => {
          const change = (register: Register) => {
            const names = new Set(register.paused?.reason.split(' ') ?? []);
            return amend(register, { paused: { by, reason: [...names.add(name)].join(' ') } });
          };
          await changeRegister(deps(by), change).then(
            () => made.add(name),
            () => {},
          );
        };
        const founding = [1, 2].map(() => foundGroup(deps(EU), FIRST).catch(() => {}));
        await s.waitFor(
          Promise.all([...founding, ...members.map((at, index) => add(at, `change-${index}`))]),
        );
        const { paused } = await readRegister(regions.of(...members));
        const names = paused?.reason.split(' ') ?? [];
        for (const name of made) expect(names).toContain(name);
      },
    ),
    { numRuns: 300 },
  );
});

test('nothing is founded in a Region that only promised', async () => {
  const regions = new Regions();
  await regions.store(EU).prepare('000000000001#x#x' as Ballot);
  expect({ ...(await regions.store(EU).read()), promised: '' }).toEqual(NO_ACCEPTOR);
  await expect(readRegister(regions.of(EU, US, AP))).rejects.toMatchObject({ code: 'GROUP_NOT_FOUNDED' });
});
