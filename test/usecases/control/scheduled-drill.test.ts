import { GetObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { S3DrillEvidence } from '#lib/aws/s3-drill-evidence.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { amend, claim, type Register } from '#lib/domain/control/register.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import { type DrillDeps, type DrillEnd, scheduledDrill } from '#lib/usecases/control/scheduled-drill.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { type RegionServers, startRegionServers } from '../../support/region-servers.ts';

/** Where the evidence goes: the very bucket of a Region. */
let servers: RegionServers;
let bucket: string;
beforeAll(async () => {
  servers = await startRegionServers(parseRegionId('eu-west-1'));
  const config = new FailoverGroup([EU, US, AP]).config;
  ({ bucket } = await servers.provision(config));
});
afterAll(() => servers[Symbol.asyncDispose]());

let group: FailoverGroup;
let started: FailoverInput[];
let due: string;
let count = 0;
beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  started = [];
  count += 1;
  due = `2030-01-01T00:00:${String(count).padStart(2, '0')}Z`;
  for (const ms of [0, 1_000]) {
    group.scheduler.advance(ms);
    group.beat(EU);
    await group.capture(EU);
    await group.follow(US, AP);
  }
});

/** A drill in a Region whose workflow cannot be started. */
const drill = (region: RegionId): Promise<DrillEnd> => {
  const deps: DrillDeps = {
    config: {
      group: GROUP,
      table: 'orders',
      logTable: 'log',
      controlTable: 'control',
      buckets: {},
      failover: { profile: 'fast', targets: {} },
    },
    profile: group.profile,
    region,
    survey: () => group.survey(),
    workflowIn: () => ({
      start: async (input) => {
        started.push(input);
        throw new Error('AccessDenied');
      },
    }),
    historyOf: () => group.history,
    evidence: new S3DrillEvidence({ s3: servers.clients.s3, bucket, group: GROUP }),
    approvedBy: 'the test',
    clock: group.clock,
    sleep: group.sleep,
    mayGoOn: () => false,
  };
  return group.run(scheduledDrill(deps, due));
};

const change = (to: (register: Register) => ReturnType<typeof amend>) =>
  group.run(changeRegister(group.registerDeps(US), to));

/** What lies in the bucket. */
async function kept(): Promise<unknown> {
  const Key = `_drills/${GROUP}/${due}/report.json`;
  const { Body } = await servers.clients.s3.send(new GetObjectCommand({ Bucket: bucket, Key }));
  return JSON.parse(await Body!.transformToString());
}

test('whoever does not lead leaves the drill to the one that does', async () => {
  expect(await drill(US)).toEqual({ outcome: 'elsewhere', region: EU });
  expect(started).toEqual([]);
});

test('a run that cannot be started is a failure, with evidence that says so', async () => {
  const report = {
    outcome: 'failed',
    home: EU,
    approvedBy: 'the test',
    code: 'REGION_UNREACHABLE',
    why: expect.stringContaining('AccessDenied'),
    there: { from: EU, to: null, rtoMs: null, rpo: { records: null, ms: null }, timeline: [] },
  };
  expect(await drill(EU)).toMatchObject({ outcome: 'kept', report });
  expect(await kept()).toMatchObject(report);
  expect(started).toMatchObject([{ epoch: E1, kind: 'switchover', trigger: 'drill', approval: false }]);
});

test('a drill that is asked for twice is had once', async () => {
  await drill(EU);
  expect(await drill(EU)).toEqual({ outcome: 'begun-before' });
  expect(started).toHaveLength(1);
});

test('a group that is paused, or in its cooldown, is left alone', async () => {
  const paused = { by: 'ana', reason: 'a release' };
  await change((register) => amend(register, { paused }));
  expect(await drill(EU)).toMatchObject({
    report: { outcome: 'refused', why: expect.stringMatching(/ana .*a release/) },
  });
  expect(await kept()).toMatchObject({ outcome: 'refused', code: 'FAILOVER_REFUSED' });
  due += ' later';
  await change((register) => amend(register, { paused: null, cooldownUntilMs: group.now() + 60_000 }));
  expect(await drill(EU)).toMatchObject({
    report: { outcome: 'refused', why: expect.stringContaining('so recent') },
  });
  expect(started).toEqual([]);
  expect(await group.history.of(E2)).toMatchObject([
    { step: 'drill', outcome: { outcome: 'refused' } },
    { step: 'drill', outcome: { outcome: 'refused' } },
  ]);
});

test('during a failover, its coordinator writes down that there was no drill', async () => {
  await group.vote(E1, US, AP);
  await change((register) =>
    claim(register, { epoch: E1, coordinator: US, run: 'run', phase: 'failing-over' }),
  );
  expect(await drill(EU)).toEqual({ outcome: 'elsewhere', region: US });
  expect(await drill(US)).toMatchObject({ report: { outcome: 'refused', code: 'PLAN_STALE' } });
  expect(started).toEqual([]);
});

test('without a majority there is none, and if nobody answers, nobody takes that for well', async () => {
  group.lost.add(US).add(AP);
  expect(await drill(EU)).toMatchObject({ report: { outcome: 'refused', code: 'REGISTER_UNAVAILABLE' } });
  group.lost.add(EU);
  await expect(drill(EU)).rejects.toThrow(/^REGISTER_UNAVAILABLE: /);
  expect(started).toEqual([]);
});
