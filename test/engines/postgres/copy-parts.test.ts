import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { partsOf } from '#lib/engines/postgres/copy-parts.ts';
import { HELPER_NAME, PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { PostgresFollower } from '../../support/postgres-follower.ts';
import { PostgresLeader } from '../../support/postgres-leader.ts';

describe('the parts of a table', () => {
  test('are one, if it is not large', () => {
    expect(partsOf(0)).toEqual(['true']);
    expect(partsOf(8_191)).toEqual(['true']);
  });

  test('are runs of its pages that leave out none, nor what has come since its pages were counted', () => {
    expect(partsOf(8_192)).toEqual([
      `ctid < '(2048,0)'`,
      `ctid >= '(2048,0)' AND ctid < '(4096,0)'`,
      `ctid >= '(4096,0)' AND ctid < '(6144,0)'`,
      `ctid >= '(6144,0)'`,
    ]);
  });

  test('are small enough for who is done to help on', () => {
    const parts = partsOf(1_000_000);
    expect(parts).toHaveLength(62);
    expect(parts.at(-1)).toBe(`ctid >= '(999424,0)'`);
  });
});

const ROWS = 8_200;
/** A row fills a page. */
const LARGE = `
  CREATE TABLE large (id int PRIMARY KEY, v text);
  ALTER TABLE large ALTER v SET STORAGE PLAIN;
  CREATE TABLE small (id int PRIMARY KEY)`;
const FILL = `
  INSERT INTO large SELECT n, repeat(chr(97 + n % 26), 7000) FROM generate_series(1, ${ROWS}) n; INSERT INTO small VALUES (1)`;
const DIGEST =
  'SELECT count(*)::int AS rows, md5(sum(hashtextextended(l::text, 0))::text) AS digest FROM large l';

describe('a large table', () => {
  let postgres: TestPostgres;
  let leader: PostgresLeader;
  let follower: PostgresFollower;

  beforeAll(async () => {
    postgres = await startTestPostgres();
    leader = await PostgresLeader.start(postgres, LARGE);
    await leader.client.query(FILL);
  });

  afterAll(async () => {
    await postgres?.[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    follower = await PostgresFollower.start(postgres, LARGE, leader.log, leader.connect);
  });

  /** Helpers' connections to the follower come by this. */
  async function helpBy(connect: (connect: Connect) => ReturnType<Connect>): Promise<void> {
    const plain = follower.connect;
    follower.connect = (options) =>
      options?.applicationName === HELPER_NAME ? connect(() => plain(options)) : plain(options);
    await follower.restart();
  }

  const digest = async (client: pg.Client) => (await client.query(DIGEST)).rows[0];

  async function applyAll(): Promise<void> {
    await follower.apply();
    await leader.capture();
    await follower.apply();
    expect((await follower.checkpoints.applyState(LANE_0)).snapshot).toBeUndefined();
  }

  async function expectCopied(): Promise<void> {
    expect(await digest(follower.client)).toEqual(await digest(leader.client));
  }

  test('is copied by helpers, too, and what they write is not taken for the follower’s own', async () => {
    let helpers = 0;
    await helpBy((connect) => {
      helpers += 1;
      return connect();
    });
    await prepareLeader(follower.client, 'understudy', 'own');
    await follower.client.query(
      `INSERT INTO large SELECT n, 'stale' FROM generate_series(-1, ${ROWS}, 100) n`,
    );
    await applyAll();
    expect(helpers).toBe(1);
    const progress = follower.telemetry.events.filter(({ kind }) => kind === 'snapshot').at(-1);
    expect(progress?.fields).toMatchObject({ rowsCopied: ROWS + 1 });
    await expectCopied();
    const { rows: own } = await follower.client.query(
      `SELECT FROM pg_logical_slot_peek_binary_changes('own', NULL, NULL, 'proto_version', '1',
                'publication_names', 'understudy', 'origin', 'none') WHERE length(data) > 7000`,
    );
    await follower.client.query(`SELECT pg_drop_replication_slot('own')`);
    expect(own).toHaveLength(0);
  });

  test('is copied without helpers where none can be had', async () => {
    await helpBy(() => Promise.reject(new Error('too many connections')));
    await applyAll();
    await expectCopied();
  });

  test('is copied anew where a helper died in the middle', async () => {
    let deaths = 0;
    await helpBy(async (connect) => {
      const client = await connect();
      const { query } = client;
      client.query = ((...given: unknown[]) => {
        const isCopy = typeof given[0] === 'object' && deaths === 0;
        if (isCopy) {
          deaths += 1;
          setImmediate(() => client.connection.stream.destroy(new Error('died')));
        }
        return Reflect.apply(query, client, given);
      }) as typeof query;
      return client;
    });
    await expect(follower.apply()).rejects.toThrow('did not copy a table');
    expect(deaths).toBe(1);
    await applyAll();
    await expectCopied();
  });

  test('is not added to by the helper of an applier that has lost its lease', async () => {
    await helpBy(async (connect) => {
      const client = await connect();
      const { query } = client;
      client.query = (async (...given: unknown[]) => {
        // Nobody ends the helper's session, as a server that is cut off can't be told to.
        if (`${given[0]}`.includes('FOR SHARE')) {
          await follower.client.query('UPDATE understudy.checkpoint SET token = token + 1');
        }
        return Reflect.apply(query, client, given);
      }) as typeof query;
      return client;
    });
    await follower.apply();
    expect(await digest(follower.client)).toMatchObject({ rows: 0 });
  });

  test('is not waited for in vain: whoever takes the lease ends the helpers of the applier before', async () => {
    const frozen = await follower.connect({ applicationName: HELPER_NAME });
    await frozen.query(`BEGIN; INSERT INTO large VALUES (1, 'half')`);
    follower.waitForLocks(200);
    await new PostgresCheckpoints(follower.connect).takeLease(LANE_0);
    await applyAll();
    await expectCopied();
  });
});
