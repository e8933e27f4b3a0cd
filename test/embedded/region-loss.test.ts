import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadOf } from '#lib/cli/load-option.ts';
import { playDrill } from '#lib/local/drill/play-drill.ts';
import { jsonLines, understudy } from '../cli/run.ts';

test('a Region that is lost with the leader is replaced within seconds, and comes back as a follower', async () => {
  const file = join(tmpdir(), `region-loss-${process.pid}.jsonl`);
  onTestFinished(() => rm(file));
  await writeFile(
    file,
    ['{"pk":"a","sk":1}', '{"pk":"a","sk":2,"price":0.1}', 'no JSON', '{"pk":"b","sk":1}'].join('\n'),
  );
  const said: string[] = [];
  const load = await loadOf({ load: file, key: 'pk,sk' }, (line) => said.push(line));
  expect(said).toEqual([
    expect.stringContaining('3 items, key pk, sk'),
    expect.stringContaining('line 3'),
    '1 lines are not loaded',
  ]);

  let history: Awaited<ReturnType<typeof understudy>['finished']> | undefined;
  const report = await playDrill({
    scenario: 'region-loss',
    profile: 'fast',
    rate: 30,
    calmMs: 1_000,
    engine: { kind: 'dynamodb', table: 'orders', key: load!.key },
    load: load!.writes(),
    atEnd: async (cloud) => {
      const args = ['history', '--replay', '--json', '--cloud', cloud.file];
      history = await understudy(args, tmpdir()).finished;
    },
    signal: new AbortController().signal,
  });
  expect(report.failures).toEqual([]);
  expect(report).toMatchObject({ ok: true, digestsEqual: true, epoch: 2, loaded: { orders: 3 } });
  expect(report.leader).not.toBe('eu-west-1');
  expect(report.rtoMs).toBeGreaterThan(0);
  for (const [phase, ms] of Object.entries(report.phases)) expect(ms, phase).not.toBeNull();
  // Unknown is null, and never 0.
  if (report.reportedRpoRecords !== null) {
    expect(report.lost).toBeLessThanOrEqual(report.reportedRpoRecords);
  }
  expect(report.divergent).toBeGreaterThanOrEqual(report.lost);

  // Nobody reaches the lost Region: what it would have to say or do itself is not proven.
  expect(report.fence).toMatchObject({
    log: { proven: true },
    lease: { proven: true, detail: expect.stringContaining('2 of 3 Regions') },
    watchdog: { proven: false },
    engine: { proven: false },
    host: { proven: false },
  });
  const told = report.timeline.map(({ what }) => what);
  for (const part of [
    /^watchdog of the old Region: not proven, /,
    /^fenced: logs sealed, .*us-east-1 at LSN \d+/,
    /^us-east-1, at LSN \d+: eligible/,
    /^elected: .*at most \d+ records may be lost$/,
  ]) {
    expect(told).toContainEqual(expect.stringMatching(part));
  }

  // What was decided comes out the same from what was written down.
  expect(history).toMatchObject({ status: 0, stderr: '' });
  const decisions = jsonLines(history!.stdout);
  const replayed = decisions
    .filter(({ epoch }) => epoch === 2)
    .map(({ step, replay }) => `${step} ${(replay as { kind: string }).kind}`);
  expect(replayed).toEqual(expect.arrayContaining(['claim same', 'fence same', 'elect same']));
});
