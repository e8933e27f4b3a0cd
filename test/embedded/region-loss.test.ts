import { expect, test } from 'vitest';
import { playDrill } from '#lib/local/drill/play-drill.ts';

test('a Region that is lost with the leader is replaced within seconds, and comes back as a follower', async () => {
  const report = await playDrill({
    scenario: 'region-loss',
    profile: 'fast',
    rate: 30,
    calmMs: 1_000,
    signal: new AbortController().signal,
  });
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ ok: true, digestsEqual: true, epoch: 2 });
  expect(report.leader).not.toBe('eu-west-1');
  expect(report.rtoMs).toBeGreaterThan(0);
  for (const [phase, ms] of Object.entries(report.phases)) expect(ms, phase).not.toBeNull();
  // Unknown is null, and never 0.
  if (report.reportedRpoRecords !== null) {
    expect(report.lost).toBeLessThanOrEqual(report.reportedRpoRecords);
  }
  expect(report.divergent).toBeGreaterThanOrEqual(report.lost);
});
