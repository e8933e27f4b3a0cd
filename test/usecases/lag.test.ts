import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { heartbeatKey } from '#lib/engines/dynamodb/heartbeat.ts';
import { measureLag } from '#lib/usecases/measure-lag.ts';
import { watch } from '#lib/usecases/watch.ts';
import { intercepted } from '../support/intercepted-log.ts';
import { fill } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';
import { RecordedTelemetry } from '../support/recorded-telemetry.ts';
import { ReplicatedGroup } from '../support/replicated-group.ts';
import { PK } from '../support/stream-records.ts';

const AT = 1_700_000_000_000;
const role = { leader: EU, epoch: 1 } as Parameters<typeof measureLag>[1];

let group: ReplicatedGroup;
let nowMs: number;
beforeEach(async () => {
  group = new ReplicatedGroup([{ name: EU }, { name: US }, { name: AP }]);
  await group.lead(EU);
  nowMs = AT;
});

const measure = () => measureLag({ group: group.config, peers: group, nowMs: () => nowMs }, role);
const unreachable = (region: typeof EU) => {
  const fail = () => async () => {
    throw new Error(`${region} is unreachable`);
  };
  group.reached.set(region, intercepted(group.own(region), { head: fail }));
};
const setApplied = async (
  region: typeof EU,
  lsn: number,
  commitMs: number,
  snapshot?: 'copy' | 'sweep' | 'settle',
) => {
  const { lease } = await group.control(region).takeLease(LANE_0);
  const applied = { lsn: BigInt(lsn), epoch: 1, totalBytes: BigInt(lsn) * 10n, commitMs };
  await group.control(region).saveApplyState(lease, {
    applied: applied as never,
    ...(snapshot && {
      snapshot: {
        phase: snapshot,
        startLsn: applied.lsn,
        startEpoch: 1,
        rowsCopied: 4,
        rowsEstimated: 9,
      } as never,
    }),
  });
};
/** Segments of 10 records and 100 bytes, committed a second apart. */
const log = async (region: typeof EU, count: number) => {
  for (let i = 1; i <= count; i++) {
    const at = AT + i * 1000;
    await fill(group.own(region), [`e${i}`], {
      count: 10,
      bytes: 100,
      minCommitMs: at,
      maxCommitMs: at,
      marks: {},
    });
  }
};

describe('lag', () => {
  test('is measured in records, bytes and time for what is durable and for what is applied', async () => {
    await log(EU, 5);
    await log(US, 4);
    await setApplied(US, 20, AT + 2000);
    nowMs = AT + 7000;
    const [leader, us] = await measure();
    expect(leader).toEqual({
      region: EU,
      role: 'leader',
      end: { lsn: 50n, totalBytes: 500n, commitMs: AT + 5000 },
      captureAgeMs: 2000,
    });
    expect(us).toMatchObject({
      region: US,
      role: 'follower',
      end: { lsn: 40n },
      applied: { lsn: 20n },
      durableLag: { records: 10n, bytes: 100n, ms: 3000 },
      appliedLag: { records: 30n, bytes: 300n, ms: 5000 },
    });
  });

  test('that is not known is absent, never zero', async () => {
    await log(EU, 1);
    const [, us] = await measure();
    expect(us).toMatchObject({ durableLag: { records: 10n } });
    expect(us).not.toHaveProperty('applied');
    expect(us).not.toHaveProperty('appliedLag');
  });

  test('of a store whose copy is not whole is not known', async () => {
    await log(EU, 2);
    for (const phase of ['copy', 'sweep'] as const) {
      await setApplied(US, 20, AT + 2000, phase);
      const us = (await measure())[1]!;
      expect(us.snapshot).toMatchObject({ phase, rowsCopied: 4, rowsEstimated: 9 });
      expect(us).not.toHaveProperty('appliedLag');
    }
    await setApplied(US, 20, AT + 2000, 'settle');
    expect((await measure())[1]).toMatchObject({ appliedLag: { records: 0n } });
  });

  test('against a leader that does not answer is not known, but where each follower stands is', async () => {
    await log(EU, 2);
    await log(US, 1);
    unreachable(EU);
    const [leader, us, ap] = await measure();
    expect(leader).toEqual({ region: EU, role: 'leader', error: 'eu-west-1 is unreachable' });
    expect(us).toMatchObject({ end: { lsn: 10n }, error: 'eu-west-1 is unreachable' });
    for (const figure of ['durableLag', 'appliedLag']) {
      expect(us).not.toHaveProperty(figure);
      expect(ap).not.toHaveProperty(figure);
    }
  });

  test('of a follower that does not answer is not known, and hides nobody else', async () => {
    await log(EU, 2);
    unreachable(US);
    const [leader, us, ap] = await measure();
    expect(leader).toMatchObject({ end: { lsn: 20n } });
    expect(us).toEqual({ region: US, role: 'follower', error: 'us-east-1 is unreachable' });
    expect(ap).toMatchObject({ durableLag: { records: 20n } });
  });

  test('of an empty group is as old as time', async () => {
    const [leader, us] = await measure();
    expect(leader!.captureAgeMs).toBe(AT);
    expect(us!.durableLag).toEqual({ records: 0n, bytes: 0n, ms: AT });
  });
});

describe('a tick', () => {
  let telemetry: RecordedTelemetry;
  let beats: number[];
  beforeEach(() => {
    telemetry = new RecordedTelemetry();
    beats = [];
  });
  const tick = (region: typeof EU) =>
    watch({
      ...group.deps(region),
      telemetry,
      nowMs: () => nowMs,
      beat: async (atMs) => void beats.push(atMs),
    });

  test('at the leader beats, and reports its own copy as the original', async () => {
    await log(EU, 3);
    nowMs = AT + 5000;
    await tick(EU);
    expect(beats).toEqual([AT + 5000]);
    expect(telemetry.sent).toEqual([
      ['CaptureAgeSeconds', 2],
      ['DurableLagSeconds', 0],
      ['AppliedLagSeconds', 0],
    ]);
  });

  test('at a follower beats not, and reports its own lag alone', async () => {
    await log(EU, 3);
    await log(US, 2);
    await setApplied(US, 10, AT + 1000);
    nowMs = AT + 5000;
    await tick(US);
    expect(beats).toEqual([]);
    expect(telemetry.metric('CaptureAgeSeconds')).toBeUndefined();
    expect(telemetry.metric('DurableLagSeconds')).toBe(3);
    expect(telemetry.metric('DurableLagRecords')).toBe(10);
    expect(telemetry.metric('AppliedLagSeconds')).toBe(4);
    expect(telemetry.metric('AppliedLagRecords')).toBe(20);
    expect(telemetry.metric('AppliedLagBytes')).toBe(200);
    expect(telemetry.events).toEqual([]);
  });

  test('sends no figure that it does not have, and says why', async () => {
    await log(EU, 3);
    unreachable(EU);
    await tick(US);
    expect(telemetry.sent).toEqual([]);
    expect(telemetry.events).toEqual([{ kind: 'lag-unknown', fields: { why: 'eu-west-1 is unreachable' } }]);
  });

  test('at a leader that can not read its own log sends nothing', async () => {
    unreachable(EU);
    await tick(EU);
    expect(telemetry.sent).toEqual([]);
  });

  test('at a leader whose heartbeat can not be written fails', async () => {
    const beat = async () => {
      throw new Error('throttled');
    };
    await expect(watch({ ...group.deps(EU), telemetry, nowMs: () => nowMs, beat })).rejects.toThrow(
      'throttled',
    );
    expect(telemetry.sent).toEqual([]);
  });
});

test('a heartbeat takes the way of all changes, and keeps the age of an idle follower low', async () => {
  await group.round(EU);
  await group.round(EU);
  const [, us] = await measureLag(
    { group: group.config, peers: group, nowMs: () => 1_800_000_000_500 },
    role,
  );
  expect(us!.appliedLag!.ms).toBeLessThan(1_000);
  expect(await group.store(US).get(heartbeatKey(PK))).toBeDefined();
});
