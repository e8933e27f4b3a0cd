import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { advance } from '#lib/domain/lsn.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import { drainWinner } from '#lib/usecases/control/drain.ts';
import { electLeader } from '#lib/usecases/control/elect.ts';
import type { DrainResult, ElectResult, FailoverState } from '#lib/usecases/control/failover-deps.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const PROVEN = { proven: true, detail: 'it is' };
const STATE: FailoverState = {
  input: { group: GROUP, epoch: E1, kind: 'failover', run: 'run', trigger: 'votes', approval: false },
  claim: { outcome: 'claimed', epoch: E2, from: EU, coordinator: AP, silent: [] },
  fence: {
    outcome: 'fenced',
    seals: [US, AP].map((region) => ({ region, sealed: true, epoch: E1, lsn: '0' })),
    rungs: { log: PROVEN, lease: PROVEN, watchdog: PROVEN, engine: PROVEN, host: PROVEN },
  },
};

let group: FailoverGroup;

/** AP follows; US has not begun to. */
beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  group.put(EU, 'a', 1);
  for (let turn = 0; turn < 3; turn++) {
    await beat();
    await group.follow(AP);
  }
});

async function beat(): Promise<void> {
  group.scheduler.advance(1_000);
  await group.writePath.canary(EU);
}

const snapshotOf = async (region: RegionId) => (await group.control(region).applyState(LANE_0)).snapshot;

async function elect(input: Partial<FailoverState['input']> = {}): Promise<ElectResult> {
  group.lost.add(EU);
  const state = { ...STATE, input: { ...STATE.input, ...input } };
  return group.run(electLeader(group.failoverDeps(AP), state));
}

function drain(elected: ElectResult, input: Partial<FailoverState['input']> = {}): Promise<DrainResult> {
  const state = { ...STATE, input: { ...STATE.input, ...input }, elect: elected };
  return group.run(drainWinner(group.failoverDeps(AP), state) as Promise<DrainResult>);
}

const whyOf = ({ candidates }: ElectResult, region: RegionId) =>
  candidates.find((each) => each.region === region)!.why;

describe('a follower whose first copy has not settled', () => {
  test('is no candidate, though it has all that the others have: its rows may hold what no log does', async () => {
    // The copy is made before anything of the log has arrived.
    await group.apply(US);
    await group.pull(US);
    expect(await snapshotOf(US)).toMatchObject({ phase: 'settle' });
    const elected = await elect();
    expect(elected).toMatchObject({ outcome: 'elected', winner: AP });
    expect(whyOf(elected, US)).toBe('its first copy of the data is not whole yet');
    expect(await drain(elected)).toMatchObject({ outcome: 'drained' });
  });

  test('settles by its own log, though the leader is lost, and is a candidate then', async () => {
    await group.apply(US);
    await beat();
    await group.pull(US);
    expect(await snapshotOf(US)).toMatchObject({ phase: 'settle' });
    const lost = { ...group.deps(US), peers: group.failoverDeps(US).peers };
    group.lost.add(EU);
    await group.run(
      applyLog({ ...lost, storeOf: (leader: RegionId) => group.replica(US, leader) }, () => true),
    );
    expect(await snapshotOf(US)).toBeUndefined();
    group.noFailover.add(AP);
    const elected = await elect();
    expect(elected).toMatchObject({ outcome: 'elected', winner: US });
    expect(await drain(elected)).toMatchObject({ outcome: 'drained' });
  });

  test('is promoted as it is if that is forced, and nobody waits for the lost leader', async () => {
    const { lease } = await group.control(US).takeLease(LANE_0);
    const end = await group.own(EU).head(LANE_0);
    await group.replica(US, EU).beginSnapshot(lease, end);
    expect(await snapshotOf(US)).toMatchObject({ phase: 'copy' });
    const forced = { successor: US, force: true, reason: 'it is all that is left' } as const;
    const elected = await elect(forced);
    expect(elected).toMatchObject({ outcome: 'elected', winner: US });
    expect(whyOf(elected, US)).toMatch(/^forced, although /);
    expect(await drain(elected, forced)).toMatchObject({ outcome: 'drained' });
  });
});

describe('a store that is ahead of its log', () => {
  async function putAhead(region: RegionId, by: number): Promise<void> {
    const { lease, state } = await group.control(region).takeLease(LANE_0);
    const { lsn, ...rest } = state.applied!;
    await group.control(region).saveApplyState(lease, { applied: { ...rest, lsn: advance(lsn, by) } });
  }

  test('is no candidate where no log reaches as far', async () => {
    for (let turn = 0; turn < 3; turn++) {
      await beat();
      await group.follow(US, AP);
    }
    await putAhead(US, 1);
    const elected = await elect();
    expect(elected).toMatchObject({ outcome: 'elected', winner: AP });
    expect(whyOf(elected, US)).toBe('its store is ahead of every log that is left');
  });

  test('is one where another log reaches as far: its own is made whole, and the drain ends', async () => {
    for (let turn = 0; turn < 3; turn++) {
      await beat();
      await group.follow(US, AP);
    }
    await beat();
    await group.follow(AP);
    await putAhead(US, 1);
    group.noFailover.add(AP);
    const elected = await elect();
    expect(elected).toMatchObject({ outcome: 'elected', winner: US, pullFrom: [AP] });
    const end = await group.own(AP).head(LANE_0);
    expect(await drain(elected)).toEqual({ outcome: 'drained', lsn: `${end.lastLsn}` });
  });
});
