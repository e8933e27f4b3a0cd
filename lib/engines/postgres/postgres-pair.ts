import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import { parseWal } from '#lib/engines/postgres/captured-change.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { awaitWindow } from '#lib/engines/postgres/leader-window.ts';
import { loggedChanges } from '#lib/engines/postgres/logged-changes.ts';
import { MESSAGE_PREFIX } from '#lib/engines/postgres/own-names.ts';
import { readCheckpoint } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { PostgresDigest } from '#lib/engines/postgres/postgres-digest.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { rewrittenTables } from '#lib/engines/postgres/rewritten-tables.ts';
import { leaderTables, strayTables } from '#lib/engines/postgres/stray-tables.ts';
import { processOf } from '#lib/engines/postgres/wire.ts';
import type { LoggedChanges, PairedDigests } from '#lib/ports/digest-source.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

const PATIENCE_MS = 30_000;
const PAUSE_MS = 20;
const APPLICATION = { applicationName: 'understudy verify' };
const BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';
const NOTHING: LoggedChanges = { rows: new Map(), tables: [] };

export type PairDeps = {
  readonly leader: Connect;
  readonly follower: Connect;
  readonly publication: string;
  /** The leader's slot in the marks of the log, and the epoch in which it is read. */
  readonly shard: string;
  readonly epoch: Epoch;
  readonly leaderLog: ReplicaLog;
  readonly followerLog: ReplicaLog;
  /** How long log and follower may take, each, to come to where the leader was, ms. */
  readonly patienceMs?: number;
};

/**
 * The published tables of two databases: the leader's as they were at a position of its WAL, which is one of the log, too;
 * the follower's as soon as it has come there. Nobody waits for it; both databases keep the rows of that moment until it is
 * closed. Throws VERIFY_BEHIND.
 */
export async function openPair(deps: PairDeps): Promise<PairedDigests> {
  const { epoch, shard, leaderLog, publication, patienceMs = PATIENCE_MS } = deps;
  // Whatever is in the log by now was committed before.
  const from = (await leaderLog.head(LANE_0)).lastLsn;
  const clients: pg.Client[] = [];
  const close = async () => {
    await Promise.all(clients.map((client) => client.end()));
  };
  try {
    const { client: leader, position } = await openLeader(deps.leader);
    clients.push(leader);
    const tables = await leaderTables(leader, publication);
    const window = await awaitWindow(leaderLog, from, { position, shard, epoch }, patienceMs);
    if (typeof window === 'string') {
      throw behind('the log does not come to where the leader is', 'See whether capture runs: status.');
    }
    const lsn = window.end?.lsn ?? from;
    const { client: follower, applied } = await openFollower(deps.follower, lsn, patienceMs);
    clients.push(follower);
    const only = new Set([...tables].flatMap(([name, { isPublished }]) => (isPublished ? [name] : [])));
    return {
      lsn,
      ours: new PostgresDigest(leader, { only }),
      theirs: new PostgresDigest(follower, { only }),
      strays: await strayTables(follower, publication, tables, epoch),
      changes: async () => {
        const { rows, tables: touched } = await changesBetween(deps, lsn, applied);
        const rewritten = [
          await rewrittenTables(leader, deps.leader),
          await rewrittenTables(follower, deps.follower),
        ];
        return { rows, tables: [...new Set([touched, ...rewritten].flat())] };
      },
      close,
    };
  } catch (error) {
    await close();
    throw postgresFailure(error, 'be compared');
  }
}

/** A transaction that sees exactly what was committed before a position. A slot that lasts as long as it is made knows that. */
async function openLeader(connect: Connect): Promise<{ client: pg.Client; position: bigint }> {
  const sender = await connect({ ...APPLICATION, replication: true });
  let client: pg.Client | undefined;
  try {
    const { rows } = await sender.query<{ consistent_point: string; snapshot_name: string }>(
      `CREATE_REPLICATION_SLOT understudy_verify_${processOf(sender)} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')`,
    );
    const { consistent_point, snapshot_name } = rows[0]!;
    client = await connect(APPLICATION);
    await client.query(`${BEGIN}; SET TRANSACTION SNAPSHOT '${snapshot_name}'`);
    const other = await connect(APPLICATION);
    try {
      // The log goes on beyond the position soon, even if nobody writes.
      await other.query(`SELECT pg_logical_emit_message(true, '${MESSAGE_PREFIX}', 'looked at')`);
    } finally {
      await other.end();
    }
    return { client, position: parseWal(consistent_point) };
  } catch (error) {
    await client?.end();
    throw error;
  } finally {
    await sender.end();
  }
}

/** A transaction that sees what the follower had once it had applied all up to a position. */
async function openFollower(
  connect: Connect,
  lsn: Lsn,
  patienceMs: number,
): Promise<{ client: pg.Client; applied: Lsn }> {
  const client = await connect(APPLICATION);
  try {
    for (const until = performance.now() + patienceMs; ; ) {
      await client.query(BEGIN);
      const { applied, snapshot } = await readCheckpoint(client, LANE_0);
      if (applied !== undefined && snapshot === undefined && applied.lsn >= lsn) {
        return { client, applied: applied.lsn };
      }
      await client.query('ROLLBACK');
      if (performance.now() > until) {
        const where = applied === undefined ? 'nowhere' : `at ${applied.lsn}`;
        throw behind(
          `the follower is ${snapshot === undefined ? where : 'being copied'}, and the leader was at ${lsn}`,
          'Try again once it has caught up; understudy lag tells how far it is.',
        );
      }
      await sleep(PAUSE_MS);
    }
  } catch (error) {
    await client.end();
    throw error;
  }
}

async function changesBetween(deps: PairDeps, from: Lsn, to: Lsn): Promise<LoggedChanges> {
  if (from === to) return NOTHING;
  const client = await deps.follower(APPLICATION);
  try {
    await client.query(`SET timezone = 'UTC'`);
    const changes = await loggedChanges(client, deps.followerLog, { from, to, epoch: deps.epoch });
    if (changes === undefined) throw behind('another Region has begun to lead', 'Try again.');
    return changes;
  } finally {
    await client.end();
  }
}

function behind(what: string, next: string): UnderstudyError {
  return new UnderstudyError('VERIFY_BEHIND', what, next);
}
