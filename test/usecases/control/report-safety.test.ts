import { beforeEach, describe, expect, test } from 'vitest';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { reportSafety } from '#lib/usecases/control/report-safety.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { RecordedTelemetry } from '../../support/recorded-telemetry.ts';

const LEASE_UNTIL_MS = 1_000;

let group: FailoverGroup;
let telemetry: RecordedTelemetry;
let settled: Set<Epoch>;
let leaseLeft: number | undefined;
let reads: Epoch[];
let witness: RegionId | undefined;
let counter = 0;

beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  telemetry = new RecordedTelemetry();
  settled = new Set();
  leaseLeft = 0.7;
  reads = [];
  witness = undefined;
  await group.writePath.canary(EU);
  // A follower's first position is that of its snapshot, which is whole once a later heartbeat has come.
  for (let turn = 0; turn < 3; turn++) {
    group.scheduler.advance(1_000);
    await group.writePath.canary(EU);
    await group.follow(US, AP);
  }
  await beat();
});

/** What the leader's newest beat tells the others. */
async function beat(): Promise<void> {
  const head = await group.own(EU).head(LANE_0);
  const end = { lsn: head.lastLsn, commitMs: head.lastCommitMs, beyond: 5 };
  const leaseUntilMs = group.now() + LEASE_UNTIL_MS;
  for (const region of group.members) {
    await group.acceptor(region).beat({ epoch: E1, counter: ++counter, leaseUntilMs, end });
  }
}

/** The figures that a Region sends by a report. */
async function report(region: RegionId): Promise<Readonly<Record<string, number>>> {
  telemetry.sent.length = 0;
  const divergences = group.divergences.get(region)!;
  await group.run(
    reportSafety({
      region,
      acceptor: group.acceptor(region),
      telemetry,
      ...(witness !== region && {
        replica: {
          control: group.control(region),
          divergences: {
            of: (epoch) => {
              reads.push(epoch);
              return divergences.of(epoch);
            },
          },
          settled,
          plan: () => group.plan(),
          leaseLeft: () => leaseLeft,
        },
      }),
    }),
  );
  return Object.fromEntries(telemetry.sent);
}

describe('the leader', () => {
  test('says what would be lost now, who could take over, and what is left of its lease', async () => {
    const head = await group.own(EU).head(LANE_0);
    const seconds = (group.now() + LEASE_UNTIL_MS - head.lastCommitMs) / 1000;
    expect(await report(EU)).toEqual({
      Epoch: 1,
      Leads: 1,
      LeaseLeftPercent: 70,
      // All that it has logged is everywhere: what its applications may draw beyond that is at stake.
      RpoRecords: 5,
      RpoSeconds: seconds + PROFILES.fast.marginMs / 1000,
      Candidates: 2,
    });
  });

  test('counts what no follower has as lost', async () => {
    const before = await report(EU);
    for (let i = 0; i < 7; i++) await group.writePath.canary(EU);
    await beat();
    expect((await report(EU)).RpoRecords).toBeGreaterThanOrEqual(before.RpoRecords! + 7);
  });

  test('does not count a replica that may not be promoted, and never itself', async () => {
    group.lost.add(AP);
    expect((await report(EU)).Candidates).toBe(1);
    group.lost.add(US);
    expect((await report(EU)).Candidates).toBe(0);
  });

  test('that cannot tell what would be lost sends no figure for it', async () => {
    for (const region of [US, AP]) group.lost.add(region);
    const figures = await report(EU);
    expect(figures).toMatchObject({ Leads: 1, LeaseLeftPercent: 70 });
    expect(figures).not.toHaveProperty('RpoRecords');
    expect(figures).not.toHaveProperty('RpoSeconds');
  });

  test('that has had no lease says nothing of one', async () => {
    leaseLeft = undefined;
    expect(await report(EU)).not.toHaveProperty('LeaseLeftPercent');
  });

  test('does not take its own consent to a switchover for a vote', async () => {
    await group.vote(E1, EU);
    expect(await report(EU)).not.toHaveProperty('VotesInForce');
  });
});

describe('a follower', () => {
  test('that is content sends nothing', async () => {
    expect(await report(US)).toEqual({});
  });

  test('says while its vote is in force', async () => {
    await group.vote(E1, US);
    expect(await report(US)).toEqual({ VotesInForce: 1 });
    await group.acceptor(US).unvote(E1);
    expect(await report(US)).toEqual({});
  });

  test('says what has diverged until somebody discards it', async () => {
    const saved = { hash: 'a', changes: 3, keys: 2, savedAtMs: 1 };
    const divergences = group.divergences.get(EU)!;
    await group.lead(US, E2);
    await divergences.save(E1, { ...saved, changes: 0 });
    expect(await report(EU)).not.toHaveProperty('Divergences');
    await divergences.save(E1, saved);
    expect(await report(EU)).toMatchObject({ Divergences: 1 });
    await group.control(EU).attach(E2);
    expect(await report(EU)).toMatchObject({ Divergences: 1 });
    await divergences.discard(E1, { by: 'ann', reason: 'written again', atMs: 2 });
    expect(await report(EU)).not.toHaveProperty('Divergences');
  });

  test('looks no more at an epoch in which nothing can diverge any more', async () => {
    await group.lead(US, E2);
    await report(EU);
    await report(EU);
    expect(reads).toEqual([1, 1]);
    await group.control(EU).attach(E2);
    await report(EU);
    await report(EU);
    expect(reads).toEqual([1, 1, 1]);
  });
});

test('a witness says that it is there, and while its vote is in force', async () => {
  witness = AP;
  expect(await report(AP)).toEqual({ WitnessUp: 1 });
  await group.vote(E1, AP);
  expect(await report(AP)).toEqual({ WitnessUp: 1, VotesInForce: 1 });
  expect(reads).toEqual([]);
});

test('what one part fails to tell hides no other', async () => {
  await group.lead(EU, E2);
  group.divergences.get(EU)!.of = async () => {
    throw new Error('throttled');
  };
  expect(await report(EU)).toMatchObject({ Leads: 1, RpoRecords: expect.any(Number) });
  expect(telemetry.events).toEqual([
    { kind: 'safety-unknown', fields: { what: 'divergences', why: 'Error: throttled' } },
  ]);
});

test('a group that is not founded says nothing', async () => {
  group = new FailoverGroup([EU, US, AP]);
  await group.lead(EU);
  expect(await report(EU)).toEqual({});
});
