import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { demoEngineOf } from '#lib/cli/demo-engine.ts';
import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import type { GuardMode } from '#lib/domain/topology.ts';
import type { DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { playDrill } from '#lib/local/drill/play-drill.ts';
import { INTRUDER_SESSIONS } from '#lib/local/drill/stores/bank-store.ts';
import { begunOnceMore } from '../support/begun-once-more.ts';

const LEADER = 'eu-west-1';
/** A dump. */
const SHOP = fileURLToPath(new URL('../local/load/shop.sql', import.meta.url));

/** A drill of the bank in PostgreSQL databases: equal replicas at the end, and no money made or lost. */
async function play(
  scenario: Scenario,
  options: {
    readonly guard?: GuardMode;
    readonly load?: string;
    readonly profile?: Profile['name'];
    readonly calmMs?: number;
  } = {},
): Promise<DrillReport> {
  const { profile = 'fast', calmMs = 1_500, ...store } = options;
  const { engine, schema, sqlFile } = await demoEngineOf({ engine: 'postgres', ...store }, () => {});
  const report = await begunOnceMore(() =>
    playDrill({
      scenario,
      profile,
      rate: 30,
      calmMs,
      engine,
      schema: schema!,
      ...(sqlFile !== undefined && { sqlFile }),
      signal: new AbortController().signal,
    }),
  );
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ ok: true, digestsEqual: true });
  expect(report.acknowledged).toBeGreaterThan(0);
  return report;
}

/** Another leads, what is lost is within what was reported, and all of it is in the report of what diverged. */
function expectTakenOver(report: DrillReport, epoch = 2): void {
  expect(report.epoch).toBe(epoch);
  if (epoch === 2) expect(report.leader).not.toBe(LEADER);
  expect(report.rtoMs).toBeGreaterThan(0);
  for (const [phase, ms] of Object.entries(report.phases)) expect(ms, phase).not.toBeNull();
  expectLossToldAndKept(report);
}

function expectLossToldAndKept({ divergent, lost, reportedRpoRecords }: DrillReport): void {
  if (reportedRpoRecords !== null) expect(lost).toBeLessThanOrEqual(reportedRpoRecords);
  expect(divergent).toBeGreaterThanOrEqual(lost);
}

/** Nobody was replaced. */
const SAME_LEADER = { epoch: 1, leader: LEADER, rtoMs: null, lost: 0 };

describe('a drill of PostgreSQL databases', () => {
  test("region-loss: another Region leads, and the lost one comes back and follows; a user's own tables are there throughout", async () => {
    const report = await play('region-loss', { load: SHOP });
    expectTakenOver(report);
    expect(report.loaded).toEqual({ 'shop.item': 3, 'shop.sale': 2 });
  });

  test('partition: a leader that is cut off shuts its application out by itself', async () => {
    const report = await play('partition');
    expectTakenOver(report);
    expect(report.timeline.some(({ what }) => what.includes('its lease on epoch 1 is over'))).toBe(true);
  });

  test('pause: a leader that wakes up begins no write, by its own clock', async () => {
    const report = await play('pause');
    expectTakenOver(report);
    expect(report.zombieAcknowledged).toBe(0);
    // What had passed its check when it froze is answered: one commit of a session at most.
    expect(report.lateAcknowledged).toBeLessThanOrEqual(INTRUDER_SESSIONS);
    expect(report.divergent).toBeGreaterThanOrEqual(report.lateAcknowledged!);
  });

  test('pause, unguarded: what it acknowledges to who asks for no lease is counted, and kept', async () => {
    const report = await play('pause', { guard: 'off' });
    expectTakenOver(report);
    expect(report.zombieAcknowledged).toBeGreaterThan(INTRUDER_SESSIONS);
    expect(report.divergent).toBeGreaterThanOrEqual(report.zombieAcknowledged!);
  });

  test('switchover: nothing is lost', async () => {
    const report = await play('switchover');
    expectTakenOver(report);
    expect(report).toMatchObject({ lost: 0, reportedRpoRecords: 0, divergent: 0 });
  });

  test('flapping: a network that comes and goes for less than a lease replaces nobody', async () => {
    expect(await play('flapping')).toMatchObject(SAME_LEADER);
  });

  test('overload: a slow leader is no dead one', async () => {
    expect(await play('overload')).toMatchObject(SAME_LEADER);
  });

  test('register-minority: the loss of a Region that does not lead stops nothing', async () => {
    // With seconds to spare for a machine that is busy; two times of calm are longer than it takes to vote a leader out.
    const { leaseMs, marginMs, name } = PROFILES.balanced;
    const calmMs = 0.6 * (leaseMs + marginMs);
    expect(await play('register-minority', { profile: name, calmMs })).toMatchObject(SAME_LEADER);
  });

  test('coordinator-loss: the next epoch takes over from a coordinator that dies half-way', async () => {
    const report = await play('coordinator-loss');
    expect(report.epoch).toBeGreaterThanOrEqual(3);
    expectLossToldAndKept(report);
  });

  test('double: the new leader is lost as well, and a third leads', async () => {
    expectTakenOver(await play('double'), 3);
  });
});
