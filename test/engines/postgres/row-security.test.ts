import { expect, test } from 'vitest';
import { connector } from '#lib/engines/postgres/connect.ts';
import { startTestPostgres } from '../../support/postgres.ts';
import { contents, PostgresFollower } from '../../support/postgres-follower.ts';
import { PostgresLeader } from '../../support/postgres-leader.ts';

test('a copy by a role from which policies hide rows is refused, not made without them', async () => {
  await using postgres = await startTestPostgres();
  const schema = 'CREATE TABLE t (id int PRIMARY KEY)';
  const leader = await PostgresLeader.start(postgres, schema);
  await leader.client.query(`
    CREATE ROLE replicator LOGIN PASSWORD 'x'; GRANT SELECT, UPDATE ON t TO replicator;
    ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t TO replicator USING (id < 3)`);
  const url = new URL(leader.url);
  url.username = 'replicator';
  url.password = 'x';
  const as = connector({ connectionString: url.href });
  const follower = await PostgresFollower.start(postgres, schema, leader.log, as);
  await leader.client.query('INSERT INTO t SELECT generate_series(1, 9)');
  await leader.capture();
  await expect(follower.apply()).rejects.toMatchObject({
    code: 'POSTGRES_REFUSED',
    message: expect.stringContaining('row-level security policy for table "t"'),
  });
  await leader.client.query('ALTER ROLE replicator BYPASSRLS');
  await follower.apply();
  await leader.capture();
  await follower.apply();
  expect(await contents(follower.client)).toEqual(await contents(leader.client));
});
