import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';
import { understudy } from '../cli/run.ts';
import { isShown, WAY } from '../support/drills-document.ts';
import { AP, EU, GROUP, US, until, untilCaughtUp } from './support.ts';

const REGIONS = [EU, US, AP];

test('a scheduled drill hands leadership over and back, and its evidence is in the bucket of the Region that led', async () => {
  const group = parseGroup({
    group: GROUP,
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
    regions: REGIONS.map((name) => ({ name })),
  });
  const ways = new Map<string, readonly string[]>();
  await using cloud = await EmbeddedCloud.start({
    group,
    leader: EU,
    link: { forwardMs: 5, backMs: 5 },
    failover: { profile: 'fast', ttlSeconds: 1, propagationMs: 0 },
    onMessage: ({ message }) => {
      const { event, kind } = message as { readonly kind?: string; readonly event?: RunEvent };
      if (kind === 'workflow' && event?.kind === 'entered' && isShown(event.state)) {
        ways.set(event.run, [...(ways.get(event.run) ?? []), event.state]);
      }
    },
  });
  const peers = cloud.peers();
  /** What the bucket of a Region holds of drills. */
  const evidenceOf = async (region: RegionId): Promise<readonly string[]> => {
    const Bucket = cloud.resources.buckets[region]!;
    const { Contents = [] } = await peers
      .clients(region)
      .s3.send(new ListObjectsV2Command({ Bucket, Prefix: `_drills/${GROUP}/` }));
    return Contents.map(({ Key }) => Key!);
  };
  const reportsOf = async (region: RegionId): Promise<readonly DrillReport[]> => {
    const keys = (await evidenceOf(region)).filter((key) => key.endsWith('/report.json'));
    const Bucket = cloud.resources.buckets[region]!;
    return Promise.all(
      keys.map(async (Key) => {
        const { Body } = await peers.clients(region).s3.send(new GetObjectCommand({ Bucket, Key }));
        return JSON.parse(await Body!.transformToString());
      }),
    );
  };
  /** The scheduler tells every Region. */
  const fire = () => {
    for (const region of REGIONS) cloud.kill(region, 'worker', 'SIGUSR2');
  };
  const registerOf = async (region: RegionId) => (await peers.acceptor(region).read()).accepted?.value;
  const decisionsOf = (region: RegionId, epoch: number) => peers.history(region).of(parseEpoch(epoch));

  await untilCaughtUp(peers, [US, AP]);
  const firedMs = Date.now();
  fire();
  await until('there is a report', async () => (await reportsOf(EU)).length === 1);
  const [report] = await reportsOf(EU);
  expect(report, JSON.stringify(report)).toMatchObject({
    version: 1,
    group: GROUP,
    home: EU,
    outcome: 'passed',
    approvedBy: 'whoever runs the embedded cloud',
  });
  if (report!.outcome !== 'passed') throw new Error('unreachable');
  const { back, there } = report!;
  expect([there.from, back.from, back.to]).toEqual([EU, there.to, EU]);
  expect([US, AP]).toContain(there.to);
  expect([there.epoch, back.epoch]).toEqual([2, 3]);
  for (const leg of [there, back]) {
    expect(leg.end).toEqual({ kind: 'done' });
    expect(leg.rpo).toEqual({ records: 0, ms: 0 });
    expect(leg.startedMs).toBeGreaterThanOrEqual(firedMs);
    expect(leg.rtoMs).toBeGreaterThan(0);
    expect(leg.rtoMs).toBeLessThanOrEqual(leg.endedMs - leg.startedMs);
    // The way that docs/DRILLS.md names: the report is there a moment before the run has ended.
    await until('the run has ended', async () => ways.get(leg.run)?.at(-1) === WAY.at(-1));
    const went = ways.get(leg.run)!.filter((state, at, all) => state !== all[at - 1]);
    expect(went).toEqual(WAY);
    // The evidence says what the decision log of the Region that coordinated it says.
    const decided = await decisionsOf(leg.from, leg.epoch);
    expect(leg.timeline).toEqual(decided.map(({ atMs, outcome, step }) => ({ atMs, step, outcome })));
  }
  expect(await registerOf(EU)).toMatchObject({ epoch: 3, leader: EU, phase: 'leading' });
  expect(await evidenceOf(US)).toEqual([]);
  expect(await evidenceOf(AP)).toEqual([]);

  const tmp = await mkdtemp(join(tmpdir(), 'drill-'));
  try {
    const paused = understudy(['pause', '--reason', 'a release', '--cloud', cloud.file], tmp);
    expect((await paused.finished).status).toBe(0);
  } finally {
    await rm(tmp, { recursive: true });
  }
  fire();
  await until('there is another report', async () => (await reportsOf(EU)).length === 2);
  const refused = (await reportsOf(EU)).find(({ outcome }) => outcome === 'refused');
  expect(refused).toMatchObject({ code: 'FAILOVER_REFUSED', why: expect.stringContaining('a release') });
  expect(await decisionsOf(EU, 4)).toMatchObject([
    { step: 'drill', outcome: { outcome: 'refused', why: expect.stringContaining('a release') } },
  ]);
  expect(await registerOf(EU)).toMatchObject({ epoch: 3, leader: EU, phase: 'leading' });
});
