import { afterAll, beforeAll, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { beatenShards } from '#lib/domain/marks.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { BANK_SCHEMA } from '#lib/local/demo/bank.ts';
import { compare, untilCaughtUp } from '#lib/local/demo/convergence.ts';
import { replicate } from '#lib/local/demo/replicate.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { AP, checkedEntries, EU, GROUP, US, until } from './support.ts';

const NEVER = new AbortController().signal;
let cloud: EmbeddedCloud;
const reports: string[] = [];

beforeAll(async () => {
  cloud = await EmbeddedCloud.start({
    group: parseGroup({
      group: GROUP,
      engine: { kind: 'postgres', databases: {}, publication: 'understudy', slot: 'understudy_test' },
      regions: [EU, US, AP].map((name) => ({ name })),
    }),
    leader: EU,
    schema: `${BANK_SCHEMA}; CREATE TABLE notes (id int PRIMARY KEY, at timestamptz, body jsonb)`,
    link: { forwardMs: 5, backMs: 5 },
    onMessage: ({ region, message }) => {
      const { line } = message as { line?: string };
      reports.push(`${region} ${line ?? JSON.stringify(message)}`);
    },
  });
}, 60_000);

afterAll(async () => {
  await cloud?.stop();
});

async function query(region: typeof EU, sql: string): Promise<readonly object[]> {
  const client = await connector({ connectionString: cloud.resources.endpoints[region]!.postgres! })();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function expectEqual(): Promise<void> {
  const { peers, engine } = cloud.open();
  await untilCaughtUp(peers, [US, AP], NEVER);
  expect((await compare(engine, EU, [US, AP])).differences).toEqual([]);
}

test('transfers arrive whole in all Regions, whichever worker or follower is killed meanwhile', async () => {
  const peers = cloud.peers();
  const view = { show: () => {}, say: () => {} };
  const running = replicate(
    cloud,
    { epoch: parseEpoch(1), leader: EU },
    { rate: 100, seconds: 4, frameMs: 500 },
    view,
    NEVER,
  );
  const logged = async (more: bigint) => {
    const { lastLsn } = await peers.log(EU).head(LANE_0);
    await until('more is logged', async () => (await peers.log(EU).head(LANE_0)).lastLsn >= lastLsn + more);
  };
  await logged(300n);
  cloud.kill(EU, 'worker');
  cloud.kill(US, 'postgres');
  await logged(100n);
  cloud.kill(AP, 'worker');
  expect(await running).toMatchObject({
    ok: true,
    records: 400,
    failedWrites: 0,
    digestsEqual: true,
    items: 200 + 400,
    torn: [],
  });
});

test('a leader whose database is killed loses nothing that it had committed', async () => {
  await query(EU, `INSERT INTO notes SELECT n, now(), '{"kept": true}' FROM generate_series(1, 3000) n`);
  cloud.kill(EU, 'postgres');
  await until('the database is back', async () => cloud.isUp(EU, 'postgres'));
  await query(EU, `UPDATE notes SET body = body || '{"again": 1}' WHERE id % 2 = 0`);
  await expectEqual();
  expect(await query(AP, `SELECT count(*)::int AS n FROM notes WHERE body ? 'again'`)).toEqual([{ n: 1500 }]);
});

test('a heartbeat proves the slot of its Region, and no other, as logged up to its moment', async () => {
  const { peers, engine } = cloud.open();
  const stream = engine.stream(EU);
  const sinceMs = Date.now();
  const beaten = async () => beatenShards((await peers.log(EU).head(LANE_0)).marks, EU, sinceMs);
  expect(await beaten()).toEqual(new Set());
  await stream.beat(1, sinceMs);
  await until('the heartbeat is logged', async () => (await beaten()).size > 0);
  expect([...(await beaten())]).toEqual(await stream.newestShards());
});

test('every log is contiguous and chained, and nothing that was applied is captured again', async () => {
  const peers = cloud.peers();
  for (const region of [EU, US, AP]) expect((await checkedEntries(peers, region)).length).toBeGreaterThan(0);
  expect(reports.filter((line) => line.includes('LocalWritesAtFollower'))).toEqual([]);
});
