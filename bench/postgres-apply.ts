import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { LANE_0, parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { EPOCH_ZERO, type Epoch, LSN_ZERO } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCapture } from '#lib/engines/postgres/postgres-capture.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { PostgresReplica } from '#lib/engines/postgres/postgres-replica.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { type PostgresServer, startPostgresServer } from '#lib/local/postgres-server.ts';
import { applyLog, type Holding } from '#lib/usecases/apply.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import type { BenchResult } from './result.ts';

const GROUP = parseGroupId('bench');
const HOME = parseRegionId('eu-west-1');
const AWAY = parseRegionId('us-east-1');
const EPOCH = 1 as Epoch;
const SILENT = { event() {}, metrics() {} };

const SCHEMA = `
  CREATE TABLE orders (id bigint PRIMARY KEY, customer text, status text, total numeric(12,2), quantity int, placed timestamptz);
  CREATE TABLE account (id int PRIMARY KEY, balance bigint, changed timestamptz);
  CREATE TABLE entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int, amount int, at timestamptz)`;
const FILL = `
  INSERT INTO orders SELECT n, 'customer-' || n % 999, 'placed', n % 1000 + 0.5, 3, '2026-11-25' FROM generate_series(1, 100000) n;
  INSERT INTO account SELECT n, 0, '2026-11-25' FROM generate_series(1, 10000) n`;

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

/** Servers of a leader and a follower, with the same settings. */
async function withServers<T>(
  work: (leader: PostgresServer, follower: PostgresServer) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-bench-'));
  const settings = {
    shared_buffers: '512MB',
    max_wal_size: '4GB',
    autovacuum: 'off',
    synchronous_commit: 'off',
  };
  const folders = [await mkdtemp(join(folder, 'a-')), await mkdtemp(join(folder, 'b-'))];
  await chmod(folder, 0o755);
  const leader = await startPostgresServer({ directory: folders[0]!, settings });
  const follower = await startPostgresServer({ directory: folders[1]!, settings });
  try {
    return await work(leader, follower);
  } finally {
    await Promise.all([leader.stop(), follower.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

type Follow = {
  /** Gets ready while nothing is written. */
  readonly prepare: () => Promise<void>;
  /** Catches up with all that the leader has by now. */
  readonly catchUp: (position: string) => Promise<void>;
};

/** Seconds that a catch-up takes, from the moment at which it may begin. */
async function measured(
  leader: pg.Client,
  follower: pg.Client,
  sql: string,
  follow: Follow,
): Promise<number> {
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
  await follow.catchUp(rows[0]!.at);
  const seconds = (performance.now() - start) / 1000;
  for (const table of ['orders', 'account', 'entry']) {
    const sum = `SELECT count(*)::text || md5(coalesce(sum(hashtextextended(t::text, 0)), 0)::text) AS d FROM ${table} t`;
    const [a, b] = [await leader.query(sum), await follower.query(sum)];
    if (a.rows[0].d !== b.rows[0].d) throw new Error(`${table} differs after the catch-up`);
  }
  return seconds;
}

function native(leader: pg.Client, follower: pg.Client, server: PostgresServer): Follow {
  const conninfo = `host=127.0.0.1 port=${server.port} user=postgres password=local dbname=postgres`;
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
  const connect = connector({ connectionString: urls.follower });
  const checkpoints = new PostgresCheckpoints(connect);
  let slot = '';
  return {
    async prepare() {
      slot = `slot_${++slots}`;
      await prepareLeader(leader, 'understudy', slot);
      await prepareFollower(follower, 'understudy');
      const { lease } = await checkpoints.takeLease(LANE_0);
      const applied = { lsn: LSN_ZERO, epoch: EPOCH_ZERO, totalBytes: 0n, commitMs: 0 };
      await checkpoints.saveApplyState(lease, { applied });
    },
    async catchUp(position) {
      const log = new MemoryLog(GROUP);
      const control = new MemoryControl(HOME);
      await control.nameLeader({ leader: HOME, epoch: EPOCH });
      const source = new StreamedSlot({
        region: HOME,
        epoch: EPOCH,
        slot,
        publication: 'understudy',
        connect: connector({ connectionString: urls.leader }),
        telemetry: SILENT,
      });
      const deps = {
        region: HOME,
        engine: new PostgresCapture(GROUP),
        log,
        control,
        divergences: new MemoryDivergences(),
        rejects: { put: () => Promise.reject(new Error('rejected')) },
        telemetry: SILENT,
      };
      const stop = new AbortController();
      const capturing = captureSource(deps, LANE_0, source, stop.signal);
      const replica = new PostgresReplica({
        connect,
        leader: connect,
        publication: 'understudy',
        origin: 'understudy',
      });
      const roles = new MemoryControl(AWAY);
      await roles.nameLeader({ leader: HOME, epoch: EPOCH });
      const own = {
        role: () => roles.role(),
        nameLeader: () => Promise.reject(new Error('not here')),
        attach: () => Promise.reject(new Error('not here')),
        applyState: checkpoints.applyState.bind(checkpoints),
        takeLease: checkpoints.takeLease.bind(checkpoints),
        saveApplyState: checkpoints.saveApplyState.bind(checkpoints),
        noteRewound: () => Promise.reject(new Error('not here')),
      };
      const peers = { log: () => log, control: () => own };
      let holding: Holding | undefined;
      for (let done = false; !done; ) {
        const { rows } = await leader.query(
          `SELECT confirmed_flush_lsn >= '${position}' AS done FROM pg_replication_slots WHERE slot_name = '${slot}'`,
        );
        done = rows[0].done;
        holding = await applyLog(
          { region: AWAY, peers, control: own, storeOf: () => replica, telemetry: SILENT },
          () => true,
          holding,
        );
        if (!done) await sleep(5);
      }
      stop.abort();
      await capturing;
      await replica.close();
    },
  };
}

/** Catch-up against a native subscription, each load in turns of both, on the same two servers. */
export async function benchPostgresApply(turns = 3): Promise<readonly BenchResult[]> {
  return withServers(async (leaderServer, followerServer) => {
    const [leader, follower] = [new pg.Client(leaderServer.url()), new pg.Client(followerServer.url())];
    for (const client of [leader, follower]) {
      client.on('error', () => {});
      await client.connect();
    }
    const ours = understudy(leader, follower, { leader: leaderServer.url(), follower: followerServer.url() });
    const theirs = native(leader, follower, leaderServer);
    const results: BenchResult[] = [];
    for (const [name, { rows, sql }] of Object.entries(LOADS)) {
      const ratios: number[] = [];
      let best = Number.POSITIVE_INFINITY;
      for (let turn = 0; turn < turns; turn++) {
        const mine = await measured(leader, follower, sql, ours);
        await leader.query('DROP PUBLICATION understudy');
        await leader.query(`SELECT pg_drop_replication_slot('slot_${slots}')`).catch(() => {});
        const its = await measured(leader, follower, sql, theirs);
        ratios.push(its / mine);
        best = Math.min(best, mine);
      }
      const median = ratios.sort((a, b) => a - b)[ratios.length >> 1]!;
      results.push({ name: `${name}-vs-native`, value: median, unit: 'ratio', goal: '>= 1.5' });
      results.push({
        name: `${name}-rows-per-second`,
        value: Math.round(rows / best),
        unit: 'rows/s',
        goal: null,
      });
    }
    await Promise.all([leader.end(), follower.end()]);
    return results;
  });
}
