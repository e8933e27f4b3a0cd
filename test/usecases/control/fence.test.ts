import { describe, expect, test } from 'vitest';
import { replay } from '#lib/cli/replay.ts';
import type { Acceptor, Beat, Consent } from '#lib/domain/control/acceptor.ts';
import type { Proof } from '#lib/domain/control/fence.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import type { HostFenceRequest } from '#lib/ports/sentinel-ports.ts';
import { claimEpoch } from '#lib/usecases/control/claim.ts';
import { coverShards } from '#lib/usecases/control/cover-shards.ts';
import type { FailoverDeps, FailoverState, FenceResult } from '#lib/usecases/control/failover-deps.ts';
import { fenceOld } from '#lib/usecases/control/fence.ts';
import { giveUpLease, lastWrites } from '#lib/usecases/control/yield.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2, E3, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const { leaseMs, marginMs } = PROFILES.fast;
type Fenced = Extract<FenceResult, { outcome: 'fenced' }>;

const START: FailoverState = {
  input: { group: GROUP, epoch: E1, kind: 'failover', run: 'run', trigger: 'votes', approval: false },
};

/** A group that EU leads, with a lease that its own item tells. */
async function open(): Promise<FailoverGroup> {
  const group = await new FailoverGroup([EU, US, AP]).found(EU);
  for (const region of group.members) {
    const beat = { epoch: E1, counter: 1, leaseUntilMs: group.now() + leaseMs };
    await group.acceptor(region).beat(beat);
  }
  return group;
}

/** The state of a run in `region` once it has claimed its epoch. */
async function claimed(
  group: FailoverGroup,
  deps: FailoverDeps,
  state = START,
  by?: Consent,
): Promise<FailoverState> {
  const claim = await group.run(claimEpoch(deps, state, by && { by }));
  expect(claim.outcome).toBe('claimed');
  return { ...state, claim };
}

const fence = (group: FailoverGroup, deps: FailoverDeps, state: FailoverState) =>
  group.run(fenceOld(deps, state)) as Promise<Fenced>;
/** Names of the rungs that are proven. */
const provenOf = ({ rungs }: { rungs: Record<string, Proof> }) =>
  Object.entries(rungs).flatMap(([name, { proven }]) => (proven ? [name] : []));

describe('the fence of an epoch that was claimed', () => {
  test('by votes, with the leader lost: log and lease, and nothing that only the old Region can tell', async () => {
    const group = await open();
    group.lost.add(EU);
    await group.vote(E1, US, AP);
    const deps = group.failoverDeps(US);
    const result = await fence(group, deps, await claimed(group, deps));
    expect(result.outcome).toBe('fenced');
    expect(provenOf(result)).toEqual(['log', 'lease']);
    expect(result.rungs.engine.detail).toContain('no answer');
  });

  test('by votes, where the old Region answers that its lease is over, and that it goes on without one', async () => {
    for (const continues of [undefined, true] as const) {
      const group = await open();
      await group.vote(E1, US, AP);
      const deps = group.failoverDeps(US);
      const state = await claimed(group, deps);
      const beat = { epoch: E1, counter: 2, leaseUntilMs: 0, ...(continues && { continues }) };
      await group.acceptor(EU).beat(beat);
      const { watchdog } = (await fence(group, deps, state)).rungs;
      expect(watchdog.proven).toBe(continues === undefined);
      if (continues) expect(watchdog.detail).toContain('goes on without a lease');
    }
  });

  test('does not wait for a Region that was silent when the epoch was claimed', async () => {
    const group = await open();
    group.lost.add(EU);
    await group.vote(E1, US, AP);
    const deps = group.failoverDeps(US);
    const state = await claimed(group, deps);
    const timed = async (silent: readonly (typeof EU)[]) => {
      const began = group.now();
      const claim = { ...state.claim, silent } as FailoverState['claim'] & object;
      expect((await fence(group, deps, { ...state, claim })).outcome).toBe('fenced');
      return group.now() - began;
    };
    expect(await timed([])).toBeGreaterThan(0);
    expect(await timed([EU])).toBe(0);
  });

  test('by votes, with the leader cut off from beats alone: its own item says that it may lead, its store is fenced', async () => {
    const group = await open();
    await group.vote(E1, US, AP);
    const deps = group.failoverDeps(US);
    const state = await claimed(group, deps);
    // The claim has not reached it.
    const result = await fence(group, deps, state);
    expect(provenOf(result)).toEqual(expect.arrayContaining(['log', 'lease', 'engine']));
    expect(result.rungs.watchdog).toMatchObject({
      proven: false,
      detail: expect.stringContaining('it holds a lease'),
    });
    // For a leader of the epoch that begins to lower, and no earlier one.
    expect(group.fences.get(EU)).toBe(E2);
    expect(await group.fenceAt(EU).lower(E1)).toBe('fenced');
  });

  test("by the leader's consent: its own Region says that its lease is given up", async () => {
    const group = await open();
    const deps = group.failoverDeps(EU);
    const input = { ...START.input, kind: 'switchover', trigger: 'operator', successor: US } as const;
    const given = await group.run(giveUpLease(deps, { input }));
    if (given.outcome !== 'given-up') throw new Error(given.why);
    const yielded = await group.run(lastWrites(deps, given.by, await group.run(coverShards(deps))));
    expect(yielded.outcome).toBe('yielded');
    const result = await fence(group, deps, await claimed(group, deps, { input, yield: yielded }, given.by));
    expect(provenOf(result)).toEqual(['log', 'lease', 'watchdog', 'engine']);
  });

  test.each([
    ['control tables', undefined, 90],
    ['an MRSC table', { kind: 'mrsc', table: 'register' } as const, 335],
  ])('after the time that an application may take by a look at %s', async (_, register, ms) => {
    const group = await open();
    const all = group.failoverDeps(EU);
    const deps: FailoverDeps = { ...all, group: { ...all.group, ...(register && { register }) } };
    const slept: number[] = [];
    const sleep = async (time: number) => void slept.push(time);
    const input = { ...START.input, kind: 'switchover', trigger: 'operator', successor: US } as const;
    const given = await group.run(giveUpLease(deps, { input }));
    if (given.outcome !== 'given-up') throw new Error(given.why);
    await group.run(lastWrites({ ...deps, sleep }, given.by, await group.run(coverShards(deps))));
    expect(slept[0]).toBe(ms);
  });

  test('from a coordinator that died on the way, by force', async () => {
    const group = await open();
    group.lost.add(EU);
    await group.vote(E1, US, AP);
    await claimed(group, group.failoverDeps(US));
    await group.vote(E2, US, AP);
    const deps = group.failoverDeps(AP);
    const input = { ...START.input, epoch: E2, run: 'over', force: true, reason: 'US is stuck' };
    const result = await fence(group, deps, await claimed(group, deps, { input }));
    expect(provenOf(result)).toEqual(['log', 'lease']);
    const seals = await Promise.all(
      [US, AP].map(async (at) => (await group.own(at).head('0' as never)).sealedEpoch),
    );
    expect(seals).toEqual([E3, E3]);
  });

  test('is not waited for where a majority of votes is in force; it is where the votes have gone', async () => {
    const group = await open();
    group.lost.add(EU);
    await group.vote(E1, US, AP);
    const deps = group.failoverDeps(US);
    const state = await claimed(group, deps);
    // As if an acceptor had taken the epoch without having withdrawn its grant: nobody may rely on the claim alone.
    const forgetful = {
      ...deps,
      acceptors: {
        ...deps.acceptors,
        of: (at: typeof EU) => {
          const acceptor = deps.acceptors.of(at);
          const forget = ({ vote: _, ...item }: Acceptor) => item;
          const read = async () => forget(await acceptor.read());
          const beat = async (sent: Beat) => {
            const answer = await acceptor.beat(sent);
            return { ...answer, acceptor: forget(answer.acceptor) };
          };
          return Object.assign(Object.create(acceptor), { read, beat }) as typeof acceptor;
        },
      },
    };
    const first = (await group.run(fenceOld(forgetful, state))) as Extract<
      FenceResult,
      { outcome: 'unproven' }
    >;
    expect(first).toMatchObject({
      outcome: 'unproven',
      waitSeconds: (leaseMs + marginMs) / 1000,
      waitedSeconds: 0,
    });
    expect(first.rungs.lease.proven).toBe(false);
    // The workflow has waited; asked again at once, it would not have.
    const second = await fence(group, forgetful, { ...state, fence: first });
    expect(second.outcome).toBe('fenced');
    expect(second.rungs.lease.detail).toContain('waited out');
    expect((await group.run(fenceOld(forgetful, state))).outcome).toBe('unproven');
  });
});

describe("the user's hook", () => {
  const run = async (answer: Proof) => {
    const group = await open();
    group.lost.add(EU);
    await group.vote(E1, US, AP);
    const asked: HostFenceRequest[] = [];
    const hostFence = {
      fence: async (request: HostFenceRequest) => {
        asked.push(request);
        return answer;
      },
    };
    const deps = { ...group.failoverDeps(US), hostFence };
    const result = await fence(group, deps, await claimed(group, deps));
    return { group, asked, result };
  };

  test('is told whom to fence, for which epoch, and why; its answer is the rung', async () => {
    const answer = { proven: true, detail: 'instances stopped' };
    const { asked, result } = await run(answer);
    expect(asked).toEqual([{ group: GROUP, region: EU, epoch: E2, reason: 'failover, votes' }]);
    expect(result.rungs.host).toEqual(answer);
  });

  test('that has proven nothing holds up no failover that the lease allows', async () => {
    const { result } = await run({ proven: false, detail: 'timed out' });
    expect(result).toMatchObject({
      outcome: 'fenced',
      rungs: { host: { proven: false, detail: 'timed out' } },
    });
  });
});

test('the decision log has each rung and the evidence, and comes out the same again', async () => {
  const group = await open();
  group.lost.add(EU);
  await group.vote(E1, US, AP);
  const deps = group.failoverDeps(US);
  const result = await fence(group, deps, await claimed(group, deps));
  const decision = (await group.history.of(E2)).find(({ step }) => step === 'fence')!;
  expect(decision.outcome).toEqual(result);
  const stored = JSON.parse(JSON.stringify(decision));
  expect(replay(stored)).toEqual({ kind: 'same' });
  stored.input.votes = 0;
  expect(replay(stored).kind).toBe('differs');
});
