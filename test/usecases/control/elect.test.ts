import { beforeEach, describe, expect, test } from 'vitest';
import { replay } from '#lib/cli/replay.ts';
import type { AlarmState } from '#lib/domain/alarms.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { MemoryAlarms } from '#lib/local/memory/memory-alarms.ts';
import { electLeader } from '#lib/usecases/control/elect.ts';
import type { ElectResult, FailoverState } from '#lib/usecases/control/failover-deps.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

let group: FailoverGroup;

const PROVEN = { proven: true, detail: 'it is' };

/** US holds more than AP. */
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

const fencedIn = (...regions: RegionId[]) => ({
  outcome: 'fenced' as const,
  seals: regions.map((region) => ({ region, sealed: true as const, epoch: E1, lsn: '0' })),
  rungs: { log: PROVEN, lease: PROVEN, watchdog: PROVEN, engine: PROVEN, host: PROVEN },
});

const STATE: FailoverState = {
  input: { group: GROUP, epoch: E1, kind: 'failover', run: 'run', trigger: 'votes', approval: false },
  claim: { outcome: 'claimed', epoch: E2, from: EU, led: E1, coordinator: AP, silent: [] },
  fence: fencedIn(US, AP),
};

/** An election once EU is lost, with the time it took, ms. */
async function run(): Promise<{ result: Extract<ElectResult, { outcome: 'elected' }>; ms: number }> {
  group.lost.add(EU);
  const begun = group.scheduler.now();
  const result = await group.run(electLeader(group.failoverDeps(AP), STATE));
  if (result.outcome !== 'elected') throw new Error('nobody was elected');
  return { result, ms: group.scheduler.now() - begun };
}

function alarm(region: RegionId, name: string, state: AlarmState['state'] = 'alarm'): void {
  const alarms = group.alarms.get(region) as MemoryAlarms;
  alarms.set({ alarm: name, state, sinceMs: 1, reason: 'r', text: 't' });
}

const whyOf = ({ candidates }: ElectResult, region: RegionId) =>
  candidates.find((each) => each.region === region)!.why;

describe('an election', () => {
  test('passes over a replica whose store could not lead, says why in the decision, and asks no store', async () => {
    const why = 'STREAM_MISSING: table orders has no stream';
    await group.control(US).noteFitness(LANE_0, why);
    const { result, ms } = await run();
    expect(result).toMatchObject({ winner: AP, pullFrom: [US] });
    expect(whyOf(result, US)).toBe(`its store could not lead: ${why}`);
    expect(ms).toBeLessThanOrEqual(200);
    const [decision] = await group.history.of(E2);
    expect(replay(JSON.parse(JSON.stringify(decision)))).toEqual({ kind: 'same' });
    await group.control(US).noteFitness(LANE_0, undefined);
    expect((await run()).result.winner).toBe(US);
  });

  test('says of the loss that nobody can tell it, where the old leader may have gone on without a lease', async () => {
    expect((await run()).result.rpo.ms).not.toBeNull();
    const deps = { ...group.failoverDeps(AP), continues: true };
    expect(await group.run(electLeader(deps, STATE))).toMatchObject({ rpo: { records: null, ms: null } });
  });

  test('says of the loss that nobody can count it, where the last beat may have been heard by the old leader alone', async () => {
    const { lastCommitMs: commitMs, lastLsn: lsn } = await group.log(AP).head(LANE_0);
    // The newest beat, which lets more be drawn, has not come to AP; no leader tells its own Region where its log ends.
    for (const [counter, beyond, others] of [
      [1, 5, [US, AP]],
      [2, 500, [US]],
    ] as const) {
      const beat = { epoch: E1, counter, leaseUntilMs: group.now(), granted: beyond };
      await group.acceptor(EU).beat(beat);
      for (const at of others) await group.acceptor(at).beat({ ...beat, end: { lsn, commitMs, beyond } });
    }
    await group.vote(E1, ...group.members);
    const state = { ...STATE, fence: fencedIn(AP) };
    const elected = () => group.run(electLeader(group.failoverDeps(AP), state));
    expect(await elected()).toMatchObject({ winner: AP, rpo: { records: 500 } });
    group.lost.add(US);
    expect(await elected()).toMatchObject({ winner: AP, rpo: { records: null } });
  });

  test('takes the replica that holds most while no lag alarm is on', async () => {
    alarm(US, 'applied-lag', 'ok');
    alarm(US, 'durable-lag', 'unknown');
    alarm(US, 'votes');
    expect((await run()).result.winner).toBe(US);
  });

  test.each(['applied-lag', 'durable-lag'])(
    'passes over a replica whose %s alarm is on, and says why',
    async (name) => {
      alarm(US, name);
      const { result } = await run();
      expect(result).toMatchObject({ winner: AP, pullFrom: [US] });
      expect(whyOf(result, US)).toBe(`the alarm ${name} is on`);
      const [decision] = await group.history.of(E2);
      expect(decision!.input).toMatchObject({
        candidates: expect.arrayContaining([expect.objectContaining({ region: US, lagAlarm: name })]),
      });
      expect(replay(JSON.parse(JSON.stringify(decision)))).toEqual({ kind: 'same' });
    },
  );

  test('goes by the positions where the alarm is on in every follower, as it is once the leader is long lost', async () => {
    for (const region of [US, AP]) alarm(region, 'applied-lag');
    const { result } = await run();
    expect(result.winner).toBe(US);
    expect(whyOf(result, US)).toContain('although the alarm applied-lag is on');
  });

  test.each([
    ['hangs', () => new Promise<never>(() => {})],
    ['fails', () => Promise.reject(new Error('throttled'))],
  ])('goes by the positions where CloudWatch %s, and is hardly later for it', async (_, of) => {
    for (const region of [US, AP]) group.alarms.set(region, { of });
    const { result, ms } = await run();
    expect(result.winner).toBe(US);
    expect(whyOf(result, US)).toBe('eligible');
    expect(ms).toBeLessThanOrEqual(200);
    expect(group.telemetry.kinds().filter((kind) => kind === 'alarms-unknown')).toHaveLength(2);
  });

  test('goes by what one Region says where the CloudWatch of another hangs', async () => {
    group.alarms.set(AP, { of: () => new Promise(() => {}) });
    alarm(US, 'applied-lag');
    expect((await run()).result.winner).toBe(AP);
  });
});
