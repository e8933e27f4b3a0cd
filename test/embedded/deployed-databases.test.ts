import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import { amend } from '#lib/domain/control/register.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { REFUSED } from '#lib/engines/postgres/lease-guard-sql.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import { deployDatabases, EU, US, WITNESS } from '../support/deployed-databases.ts';
import { until } from './support.ts';

const APP = { user: 'app', password: 'application' };
let group: Awaited<ReturnType<typeof deployDatabases>>;

beforeAll(async () => {
  group = await deployDatabases();
}, 180_000);
afterAll(() => group?.[Symbol.asyncDispose](), 60_000);

const roleOf = (region: RegionId) => group.at(region).peers.control(region).role();
/** As an application, at a Region's own database. */
const write = (region: RegionId, id: number) =>
  group.query(region, `INSERT INTO account VALUES (${id}, 0)`, APP);
const idsIn = async (region: RegionId) =>
  (await group.query(region, 'SELECT id FROM account ORDER BY id')).map(({ id }) => id);
/** What an application's write comes to there: an SQLSTATE, or nothing. */
const outcomeOf = (region: RegionId, id: number) =>
  write(region, id).then(
    () => 'taken',
    (error) => String(error.code),
  );

test('the functions as they are deployed replicate a database, by a role that is no superuser', async () => {
  await until('EU takes writes', async () => (await outcomeOf(EU, 1)) === 'taken');
  await write(EU, 2);
  await until('US has them', async () => (await idsIn(US)).join() === '1,2');
  await until('the first copy is whole', async () => {
    const { applied, snapshot } = await group.at(US).peers.control(US).applyState(LANE_0);
    return applied !== undefined && snapshot === undefined;
  });
});

test('a leader that is cut off is replaced, refuses its application by itself, and is taken back in', async () => {
  await group.cut(EU, 'hang');
  await until('US leads', async () => (await roleOf(US)).leader === US);
  expect(await roleOf(US)).toMatchObject({ leader: US, epoch: 2 });
  await until('US takes writes', async () => (await outcomeOf(US, 10)) === 'taken');
  // By its own clock and its own sentinel: nobody reaches it.
  expect(await outcomeOf(EU, 11)).not.toBe('taken');
  const record = await group.dns.record().read();
  expect(record).toMatchObject({ epoch: 2, target: group.targetOf(US) });

  await group.cut(EU, 'up');
  await until('EU is taken back in', async () => (await roleOf(EU)).attached === 2);
  await until('EU has what US took', async () => (await idsIn(EU)).includes(10));
  expect(await idsIn(EU)).toEqual(await idsIn(US));
  await until('EU is open again, and its guard refuses', async () => (await outcomeOf(EU, 12)) === REFUSED);
  expect(await idsIn(EU)).not.toContain(12);
});

test('retention trims the log as far as every database has applied it', async () => {
  const { peers } = group.at(US);
  await until('there is something to trim', async () => {
    await group.at(US).invoke('retention', { kind: 'tick' });
    return (await peers.log(US).head(LANE_0)).firstLsn > 1n;
  });
  const { firstLsn } = await peers.log(US).head(LANE_0);
  const applied = (await peers.control(EU).applyState(LANE_0)).applied!;
  expect(applied.lsn).toBeGreaterThanOrEqual(firstLsn - 1n);
});

test('a drill hands leadership over and back, and keeps its evidence', async () => {
  const { peers } = group.at(US);
  const deps = {
    acceptors: { members: [EU, US, WITNESS], of: (region: RegionId) => peers.acceptor(region) },
    region: US,
    chance: () => 'ack',
    random: Math.random,
    sleep: (ms: number) => sleep(ms),
  };
  // An operator has seen the failover.
  await changeRegister(deps, (register) => amend(register, { cooldownUntilMs: 0 }));
  const due = new Date().toISOString();
  await Promise.all([EU, US].map((region) => group.at(region).invoke('drill', { kind: 'drill', due })));
  const { s3 } = peers.clients(US);
  const Bucket = JSON.parse(group.at(US).settingsOf('drill')).regions.find(
    ({ name }: { name: string }) => name === US,
  ).bucket;
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: '_drills/' }));
  const Key = Contents.find((each) => each.Key?.endsWith('report.json'))?.Key;
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: Key! }));
  const report = JSON.parse(await Body!.transformToString()) as DrillReport;
  expect(report).toMatchObject({
    outcome: 'passed',
    home: US,
    approvedBy: 'the test',
    there: { from: US, to: EU, epoch: 3, rpo: { records: 0 } },
    back: { from: EU, to: US, epoch: 4, rpo: { records: 0 } },
  });
  await until('US takes writes again', async () => (await outcomeOf(US, 20)) === 'taken');
  await until('EU has it', async () => (await idsIn(EU)).includes(20));
});

test('no password is in anything that they have written', () => {
  expect(group.lines.length).toBeGreaterThan(10);
  const text = group.lines.join();
  for (const region of [EU, US]) expect(text).not.toContain(`first-${region}`);
});
