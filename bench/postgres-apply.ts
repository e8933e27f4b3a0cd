import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { LANE_0 } from '#lib/domain/ids.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { PostgresServer } from '#lib/local/postgres-server.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { type BenchFollower, benchFollower } from './postgres-follower.ts';
import { captureAt, GROUP, withServers } from './postgres-servers.ts';
import type { BenchResult } from './result.ts';

const SCHEMA = `
  CREATE TABLE orders (id bigint PRIMARY KEY, customer text, status text, total numeric(12,2), quantity int, placed timestamptz);
  CREATE TABLE account (id int PRIMARY KEY, balance bigint, changed timestamptz);
  CREATE TABLE entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int, amount int, at timestamptz)`;
const FILL = `
  INSERT INTO orders SELECT n, 'customer-' || n % 999, 'placed', n % 1000 + 0.5, 3, '2026-11-25' FROM generate_series(1, 100000) n;
  INSERT INTO account SELECT n, 0, '2026-11-25' FROM generate_series(1, 10000) n`;

const COPIES = 7;
const LARGE_ROWS = 1_000_000;
const LARGE = `INSERT INTO orders SELECT n, 'customer-' || n % 999, 'placed', n % 1000 + 0.5, 3, '2026-11-25' FROM generate_series(1, ${LARGE_ROWS}) n`;

/** What the leader does while nobody follows, and how many rows that changes. */
const LOADS = {
  insert: {
    rows: 300_000,
    sql: `DO $$ BEGIN FOR i IN 0..299 LOOP
      INSERT INTO orders SELECT 1000000 + i * 1000 + n, 'customer-' || n, 'placed', n + 0.5, 3, now() FROM generate_series(1, 1000) n;
      COMMIT; END LOOP; END $$`,
  },
  update: {
    rows: 200_000,
    sql: `DO $$ BEGIN FOR i IN 0..199 LOOP
      UPDATE orders SET status = 'shipped', quantity = i WHERE id BETWEEN (i * 1000) % 100000 + 1 AND (i * 1000) % 100000 + 1000;
      COMMIT; END LOOP; END $$`,
  },
  // Transactions of a bank: two accounts, two entries, an order.
  oltp: {
    rows: 125_000,
    sql: `DO $$ BEGIN FOR i IN 1..25000 LOOP
      UPDATE account SET balance = balance - 1, changed = now() WHERE id = i * 7 % 10000 + 1;
      UPDATE account SET balance = balance + 1, changed = now() WHERE id = i * 13 % 10000 + 1;
      INSERT INTO entry (account, amount, at) VALUES (i, -1, now()), (i, 1, now());
      UPDATE orders SET status = 'paid' WHERE id = i * 3; COMMIT; END LOOP; END $$`,
  },
} as const;

type Follow = {
  /** Gets ready while nothing is written. */
  readonly prepare: () => Promise<void>;
  /** Catches up with all that the leader has by now; returns the slot that it reads. */
  readonly catchUp: (position: string) => Promise<string>;
  readonly end: () => Promise<void>;
};

/** Processor time of whoever serves a slot, ms; undefined where the system does not tell. */
async function senderMs(leader: pg.Client, slot: string): Promise<number | undefined> {
  const { rows } = await leader.query('SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1', [
    slot,
  ]);
  try {
    const stat = await readFile(`/proc/${rows[0].active_pid}/stat`, 'utf8');
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number);
    return (user! + system!) * 10;
  } catch {
    return undefined;
  }
}

/** Seconds that a catch-up takes, from the moment at which it may begin, and what it costs the leader. */
async function measured(
  leader: pg.Client,
  follower: pg.Client,
  sql: string,
  follow: Follow,
): Promise<{ readonly seconds: number; readonly leaderMs: number | undefined }> {
  for (const client of [leader, follower]) {
    await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    await client.query(SCHEMA);
    await client.query(FILL);
  }
  await follow.prepare();
  await leader.query(sql);
  const { rows } = await leader.query<{ at: string }>('SELECT pg_current_wal_insert_lsn() AS at');
  // Until the WAL is on disk nobody reads it.
  await leader.query('SELECT pg_switch_wal()');
  await Promise.all([leader.query('CHECKPOINT'), follower.query('CHECKPOINT')]);
  const start = performance.now();
  const slot = await follow.catchUp(rows[0]!.at);
  const seconds = (performance.now() - start) / 1000;
  const leaderMs = await senderMs(leader, slot);
  await follow.end();
  for (const table of ['orders', 'account', 'entry']) {
    const sum = `SELECT count(*)::text || md5(coalesce(sum(hashtextextended(t::text, 0)), 0)::text) AS d FROM ${table} t`;
    const [a, b] = [await leader.query(sum), await follower.query(sum)];
    if (a.rows[0].d !== b.rows[0].d) throw new Error(`${table} differs after the catch-up`);
  }
  return { seconds, leaderMs };
}

function conninfoOf({ port }: PostgresServer): string {
  return `host=127.0.0.1 port=${port} user=postgres password=local dbname=postgres`;
}

function native(leader: pg.Client, follower: pg.Client, server: PostgresServer): Follow {
  const conninfo = conninfoOf(server);
  return {
    async prepare() {
      await leader.query('CREATE PUBLICATION native FOR TABLES IN SCHEMA public');
      await follower.query(
        `CREATE SUBSCRIPTION native CONNECTION '${conninfo}' PUBLICATION native
           WITH (copy_data = false, binary = true, streaming = parallel, synchronous_commit = off, enabled = false)`,
      );
    },
    async catchUp(position) {
      await follower.query('ALTER SUBSCRIPTION native ENABLE');
      for (;;) {
        const { rows } = await leader.query(
          `SELECT confirmed_flush_lsn >= '${position}' AS done FROM pg_replication_slots WHERE slot_name = 'native'`,
        );
        if (rows[0]?.done) break;
        await sleep(20);
      }
      return 'native';
    },
    async end() {
      await follower.query('DROP SUBSCRIPTION native');
      await leader.query('DROP PUBLICATION native');
    },
  };
}

let slots = 0;

function understudy(
  leader: pg.Client,
  follower: pg.Client,
  urls: { leader: string; follower: string },
): Follow {
  let slot = '';
  let following: BenchFollower | undefined;
  const ending = { stop: new AbortController(), capturing: Promise.resolve(0) };
  return {
    async prepare() {
      slot = `slot_${++slots}`;
      await prepareLeader(leader, 'understudy', slot);
      await prepareFollower(follower, 'understudy');
      following = await benchFollower(urls);
      await following.begin();
    },
    async catchUp(position) {
      const log = new MemoryLog(GROUP);
      const { deps, slotDeps } = await captureAt(urls.leader, slot, log);
      ending.stop = new AbortController();
      ending.capturing = captureSource(deps, LANE_0, new StreamedSlot(slotDeps), ending.stop.signal);
      for (let done = false; !done; ) {
        const { rows } = await leader.query(
          `SELECT confirmed_flush_lsn >= '${position}' AS done FROM pg_replication_slots WHERE slot_name = '${slot}'`,
        );
        done = rows[0].done;
        await following!.apply(log);
        if (!done) await sleep(5);
      }
      return slot;
    },
    async end() {
      ending.stop.abort();
      await ending.capturing;
      await following?.close();
      await leader.query('DROP PUBLICATION understudy');
      await leader.query(`SELECT pg_drop_replication_slot('${slot}')`).catch(() => {});
    },
  };
}

/** The first copy of a million rows against a native subscription's. */
async function benchSnapshot(
  leader: pg.Client,
  follower: pg.Client,
  urls: { leader: string; follower: string },
  server: PostgresServer,
): Promise<BenchResult> {
  const ratios: number[] = [];
  const empty = 'DROP SCHEMA public CASCADE; CREATE SCHEMA public';
  await leader.query(`${empty}; ${SCHEMA}; ${LARGE}`);
  for (let turn = 0; turn < COPIES; turn += 1) {
    await follower.query(`${empty}; ${SCHEMA}; CHECKPOINT`);
    const slot = `slot_${++slots}`;
    await prepareLeader(leader, 'understudy', slot);
    await prepareFollower(follower, 'understudy');
    await follower.query('DELETE FROM understudy.checkpoint');
    const following = await benchFollower(urls);
    const start = performance.now();
    await following.apply(new MemoryLog(GROUP));
    if ((await following.state()).snapshot?.phase === 'copy') throw new Error('the copy is not whole');
    const mine = performance.now() - start;
    await following.close();
    await leader.query(`DROP PUBLICATION understudy; SELECT pg_drop_replication_slot('${slot}')`);

    await follower.query(`${empty}; ${SCHEMA}; CHECKPOINT`);
    await leader.query('CREATE PUBLICATION native FOR TABLES IN SCHEMA public');
    const began = performance.now();
    await follower.query(
      `CREATE SUBSCRIPTION native CONNECTION '${conninfoOf(server)}' PUBLICATION native
         WITH (copy_data = true, binary = true, synchronous_commit = off)`,
    );
    for (let done = false; !done; await sleep(20)) {
      const { rows } = await follower.query<{ done: boolean }>(
        `SELECT bool_and(srsubstate IN ('s', 'r')) AS done FROM pg_subscription_rel`,
      );
      done = rows[0]!.done === true;
    }
    ratios.push((performance.now() - began) / mine);
    const { rows } = await follower.query<{ count: string }>('SELECT count(*) FROM orders');
    if (Number(rows[0]!.count) !== LARGE_ROWS) throw new Error('the native copy is not whole');
    await follower.query('DROP SUBSCRIPTION native');
    await leader.query('DROP PUBLICATION native');
  }
  const value = ratios.sort((a, b) => a - b)[ratios.length >> 1]!;
  return { name: 'snapshot-vs-native', value, unit: 'ratio', goal: '>= 1.0' };
}

/** Catch-up against a native subscription, each load in turns of both, on the same two servers. */
export async function benchPostgresApply(turns = 3): Promise<readonly BenchResult[]> {
  return withServers(async (leaderServer, followerServer) => {
    const [leader, follower] = [new pg.Client(leaderServer.url()), new pg.Client(followerServer.url())];
    for (const client of [leader, follower]) {
      client.on('error', () => {});
      await client.connect();
    }
    const urls = { leader: leaderServer.url(), follower: followerServer.url() };
    const ours = understudy(leader, follower, urls);
    const theirs = native(leader, follower, leaderServer);
    const results: BenchResult[] = [];
    for (const [name, { rows, sql }] of Object.entries(LOADS)) {
      const ratios: number[] = [];
      const costs: number[] = [];
      let best = Number.POSITIVE_INFINITY;
      for (let turn = 0; turn < turns; turn++) {
        const mine = await measured(leader, follower, sql, ours);
        const its = await measured(leader, follower, sql, theirs);
        ratios.push(its.seconds / mine.seconds);
        best = Math.min(best, mine.seconds);
        if (mine.leaderMs !== undefined && its.leaderMs !== undefined)
          costs.push(mine.leaderMs / its.leaderMs);
      }
      const median = ratios.sort((a, b) => a - b)[ratios.length >> 1]!;
      results.push({ name: `${name}-vs-native`, value: median, unit: 'ratio', goal: '>= 1.5' });
      results.push({
        name: `${name}-rows-per-second`,
        value: Math.round(rows / best),
        unit: 'rows/s',
        goal: null,
      });
      const value = costs.sort((a, b) => a - b)[costs.length >> 1];
      if (value !== undefined)
        results.push({ name: `${name}-leader-cpu-vs-native`, value, unit: 'ratio', goal: null });
    }
    results.push(await benchSnapshot(leader, follower, urls, leaderServer));
    await Promise.all([leader.end(), follower.end()]);
    return results;
  });
}
