import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { attachFollower } from '#lib/usecases/control/attach-follower.ts';
import { claimEpoch } from '#lib/usecases/control/claim.ts';
import { drainWinner } from '#lib/usecases/control/drain.ts';
import { electLeader } from '#lib/usecases/control/elect.ts';
import type { FailoverState } from '#lib/usecases/control/failover-deps.ts';
import { fenceOld } from '#lib/usecases/control/fence.ts';
import { promoteWinner } from '#lib/usecases/control/promote.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

let group: FailoverGroup;

/** US holds one record more than AP. */
beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  for (let turn = 0; turn < 3; turn++) {
    // A copy is whole once a heartbeat has come that is later than it.
    group.scheduler.advance(1_000);
    await group.writePath.canary(EU);
    await group.follow(US, AP);
  }
  await group.writePath.canary(EU);
  await group.follow(US);
});

const STEPS = {
  claim: claimEpoch,
  fence: fenceOld,
  elect: electLeader,
  drain: drainWinner,
  promote: promoteWinner,
};

/** The failover that ends `epoch`, from its claim to the promotion, once `lost` is voted out. */
async function failOver(epoch: Epoch, lost: RegionId, coordinator: RegionId): Promise<FailoverState> {
  group.lost.add(lost);
  await group.vote(epoch, ...group.members.filter((region) => region !== lost));
  let state: FailoverState = {
    input: {
      group: GROUP,
      epoch,
      kind: 'failover',
      run: `run-${epoch}`,
      trigger: 'operator',
      approval: false,
    },
  };
  for (const [step, take] of Object.entries(STEPS)) {
    for (let tries = 0; tries < 5; tries += 1) {
      state = { ...state, [step]: await group.run<object>(take(group.failoverDeps(coordinator), state)) };
      const { outcome, waitSeconds } = state[step] as { outcome: string; waitSeconds?: number };
      if (outcome !== 'unproven') break;
      await group.run(group.sleep(waitSeconds! * 1000));
    }
  }
  return state;
}

describe('a Region whose log the new leader holds', () => {
  test('follows as soon as that one is promoted, and may replace it at once', async () => {
    const first = await failOver(E1, EU, US);
    expect(first.promote).toMatchObject({ outcome: 'promoted', leader: US });
    expect(first.elect).toMatchObject({ followers: [AP] });
    await expect.poll(() => group.control(AP).role()).toEqual({ epoch: E2, leader: US, attached: E2 });

    // The new leader dies before any Region has compared its log with the new leader's; the old one is back, and votes.
    group.lost.delete(EU);
    const second = await failOver(E2, US, AP);
    expect(second.elect).toMatchObject({
      outcome: 'elected',
      winner: AP,
      followers: [],
      rpo: { records: null, ms: null },
    });
    expect(second.promote).toMatchObject({ outcome: 'promoted', leader: AP });
  });

  test('does not follow before it is whole: one that copies the lost leader starts anew', async () => {
    const { lease, state } = await group.control(AP).takeLease(LANE_0);
    const snapshot = {
      phase: 'copy',
      startLsn: 1n,
      startEpoch: E1,
      rowsCopied: 1,
      rowsEstimated: 2,
    } as const;
    await group.control(AP).saveApplyState(lease, { ...state, snapshot } as typeof state);
    await attachFollower(group.failoverDeps(US), AP, { epoch: E2, leader: US });
    expect(await group.control(AP).role()).toEqual({ epoch: E2, leader: US, attached: E1 });
  });

  test('voids what was begun there before the epoch', async () => {
    const { lease, state } = await group.control(AP).takeLease(LANE_0);
    await attachFollower(group.failoverDeps(US), AP, { epoch: E2, leader: US });
    expect(await group.control(AP).saveApplyState(lease, state)).toBe('lost');
    expect(await group.control(AP).role()).toMatchObject({ attached: E2 });
  });
});
