import { afterAll, beforeAll, expect, test } from 'vitest';
import { AP, EU, US } from '../support/memory-group.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { PostgresFollower } from '../support/postgres-follower.ts';
import { PostgresLeader } from '../support/postgres-leader.ts';
import { ControlGroup, ControlWorld, type Ran } from './control-world.ts';

let world: ControlWorld;
let postgres: TestPostgres;

beforeAll(async () => {
  [world, postgres] = await Promise.all([ControlWorld.start(), startTestPostgres()]);
});
afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

test('doctor names tables that a follower has for nothing, and none at the leader, nor of a database that it can not ask', async () => {
  const schema = 'CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE f (id int PRIMARY KEY)';
  const leader = await PostgresLeader.start(postgres, schema);
  const follower = await PostgresFollower.start(postgres, schema, leader.log);
  await leader.client.query('INSERT INTO t VALUES (1); INSERT INTO f VALUES (1)');
  await leader.capture();
  await follower.apply();
  const founded = await world.group();
  await founded.found();
  const databases = { [EU]: leader.url, [US]: follower.url, [AP]: 'postgres://nobody@127.0.0.1:9/none' };
  const engine = { kind: 'postgres', databases, publication: 'understudy', slot: leader.slot };
  const group = new ControlGroup(
    Object.assign({ ...founded.config }, { engine }),
    founded.endpoints,
    founded.folder,
  );
  const strays = ({ json }: Ran) =>
    json.filter(({ check }) => check === 'stray tables').map(({ region, verdict }) => `${region} ${verdict}`);
  expect(strays(await group.run(['doctor', '--json']))).toEqual([`${EU} ok`, `${US} ok`, `${AP} unknown`]);

  await leader.client.query('DROP TABLE t; ALTER TABLE f RENAME TO g');
  const { stdout } = await group.run(['doctor']);
  expect(stdout).toMatch(
    /warning +us-east-1 +stray tables +Table public\.f: the leader calls it public\.g now/,
  );
  expect(stdout).toMatch(/Table public\.t: the leader has dropped it\. +Once .*DROP TABLE "public"\."t";/);
});
