import { describe, expect, test } from 'vitest';
import type { Profile } from '#lib/domain/control/profile.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import type { DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { DRILL_REGIONS, playDrill, telemetryOf } from '#lib/local/drill/play-drill.ts';
import { runDrill } from '#lib/local/drill/run-drill.ts';
import type { TelemetryLine } from '#lib/local/drill/timeline.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { begunOnceMore } from '../support/begun-once-more.ts';

const LEADER = 'eu-west-1';
/** To whom a drill hands over. */
const SUCCESSOR = parseRegionId('us-east-1');
const CALM_MS = 1_500;
/** Long enough for DNS to come in sync while the old leader is still away. */
const LONG_CALM_MS = 6_000;

async function play(
  scenario: Scenario,
  { flip, profile = 'fast' }: { readonly flip?: 'data-plane'; readonly profile?: Profile['name'] } = {},
): Promise<DrillReport> {
  const { signal } = new AbortController();
  const report = await begunOnceMore(() =>
    playDrill({
      scenario,
      profile,
      rate: 30,
      calmMs: flip === undefined ? CALM_MS : LONG_CALM_MS,
      // Route 53 asks every ten seconds; a test has less patience.
      ...(flip && { flip, healthIntervalMs: 500 }),
      signal,
    }),
  );
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ ok: true, digestsEqual: true });
  expect(report.acknowledged).toBeGreaterThan(0);
  return report;
}

/** A drill that somebody else interferes with, as soon as there is load. */
async function playTampered(
  scenario: Scenario,
  calmMs: number,
  tamper: (cloud: EmbeddedCloud) => Promise<void>,
): Promise<DrillReport> {
  const lines: TelemetryLine[] = [];
  await using cloud = await EmbeddedCloud.start({
    group: parseGroup({
      group: 'demo',
      engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
      regions: DRILL_REGIONS.map((name) => ({ name })),
    }),
    leader: parseRegionId(LEADER),
    failover: { profile: 'fast', ttlSeconds: 1, propagationMs: 0 },
    onMessage: ({ message }) => {
      const line = telemetryOf(message);
      if (line !== undefined) lines.push(line);
    },
  });
  let tampered: Promise<void> | undefined;
  try {
    return await runDrill(cloud, lines, {
      scenario,
      profile: 'fast',
      leader: parseRegionId(LEADER),
      rate: 30,
      calmMs,
      onStatus: () => {},
      onEvent: ({ phase }) => {
        if (phase === 'before') tampered ??= tamper(cloud);
      },
      signal: new AbortController().signal,
    });
  } finally {
    await tampered;
  }
}

/** What is lost is within what was reported; unknown is null, and never 0. */
function expectLossWithinReport({ lost, reportedRpoRecords }: DrillReport): void {
  if (reportedRpoRecords !== null) expect(lost).toBeLessThanOrEqual(reportedRpoRecords);
}

/** Every phase was gone through, and the report knows how long each took. */
function expectTakenOver(report: DrillReport, epoch: number): void {
  expect(report.epoch).toBe(epoch);
  expect(report.rtoMs).toBeGreaterThan(0);
  for (const [phase, ms] of Object.entries(report.phases)) expect(ms, phase).not.toBeNull();
  expectLossWithinReport(report);
}

describe('a drill with real processes', () => {
  test('partition: a leader that is cut off fences itself, and what it took is saved before it follows', async () => {
    const report = await play('partition');
    expectTakenOver(report, 2);
    expect(report.leader).not.toBe(LEADER);
    expect(report.timeline.some(({ what }) => what.includes('its lease on epoch 1 is over'))).toBe(true);
    // Each write that is lost is in the report of what diverged.
    expect(report.divergent).toBeGreaterThanOrEqual(report.lost);
  });

  test('pause: a leader that wakes up after it was replaced reaches nobody, and what it accepted is in the report', async () => {
    const report = await play('pause');
    expectTakenOver(report, 2);
    expect(report.leader).not.toBe(LEADER);
    expect(report.divergent).toBeGreaterThanOrEqual(report.lost);
  });

  test('cautious: nobody takes over before a person has approved it, and then all goes on as ever', async () => {
    const report = await play('region-loss', { profile: 'cautious' });
    expectTakenOver(report, 2);
    const claims = report.timeline.filter(({ phase }) => phase === 'claim').map(({ what }) => what);
    const approved = claims.findIndex((what) => what.includes('approved by the drill'));
    expect(approved).toBeGreaterThanOrEqual(0);
    expect(claims.findIndex((what) => what.startsWith('claim: claimed'))).toBeGreaterThan(approved);
  });

  test('switchover: nothing is lost', async () => {
    const report = await play('switchover');
    expectTakenOver(report, 2);
    expect(report).toMatchObject({ lost: 0, reportedRpoRecords: 0, divergent: 0 });
  });

  test('switchover: a drill ends as soon as its switchover is refused, and says why', async () => {
    const drill = playTampered('switchover', CALM_MS, (cloud) => cloud.loseRegion(SUCCESSOR));
    await expect(drill).rejects.toMatchObject({
      code: 'FAILOVER_REFUSED',
      message: expect.stringMatching(/the switchover was refused, FAILOVER_REFUSED: there is no successor/),
    });
  });

  test('a drill ends at once if its leader was replaced before anything was broken', async () => {
    const drill = playTampered('double', LONG_CALM_MS, (cloud) => cloud.loseRegion(parseRegionId(LEADER)));
    await expect(drill).rejects.toMatchObject({ code: 'DRILL_FAILED' });
  });

  test('flapping: a network that comes and goes for less than a lease replaces nobody', async () => {
    expect(await play('flapping')).toMatchObject({ epoch: 1, leader: LEADER, rtoMs: null, lost: 0 });
  });

  test('overload: a slow leader is no dead one', async () => {
    expect(await play('overload')).toMatchObject({ epoch: 1, leader: LEADER, rtoMs: null, lost: 0 });
  });

  test('register-minority: the loss of a Region that does not lead stops nothing', async () => {
    expect(await play('register-minority')).toMatchObject({ epoch: 1, leader: LEADER, rtoMs: null, lost: 0 });
  });

  test('coordinator-loss: the next epoch takes over from a coordinator that dies half-way', async () => {
    const report = await play('coordinator-loss');
    expect(report.epoch).toBeGreaterThanOrEqual(3);
    expectLossWithinReport(report);
  });

  test('double: the new leader is lost as well, and a third leads', async () => {
    expectTakenOver(await play('double'), 3);
  });
});

describe('a drill in which health checks move DNS', () => {
  /** Clients came through DNS to the new leader, and nobody has changed a record for that. */
  function expectMovedByChecks(report: DrillReport): void {
    expectTakenOver(report, 2);
    expect(report.leader).not.toBe(LEADER);
    // Before the old leader is back, and hears that it is deposed.
    const told = report.timeline.filter(({ phase }) => phase === 'repoint' || phase === 'heal');
    expect(told.map(({ what }) => what).slice(0, 2)).toEqual([
      'no DNS record to change: health checks follow the lease',
      'DNS is in-sync',
    ]);
  }

  test('region-loss: clients find the new leader', async () => {
    expectMovedByChecks(await play('region-loss', { flip: 'data-plane' }));
  });

  test('partition: a leader that is cut off, but can be asked, is named no longer once its lease is over', async () => {
    expectMovedByChecks(await play('partition', { flip: 'data-plane' }));
  });

  test('switchover: nothing is lost', async () => {
    const report = await play('switchover', { flip: 'data-plane' });
    expectMovedByChecks(report);
    expect(report).toMatchObject({ lost: 0, reportedRpoRecords: 0, divergent: 0 });
  });
});
