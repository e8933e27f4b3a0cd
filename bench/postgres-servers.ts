import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCapture } from '#lib/engines/postgres/postgres-capture.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { type PostgresServer, startPostgresServer } from '#lib/local/postgres-server.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

export const GROUP = parseGroupId('bench');
export const HOME = parseRegionId('eu-west-1');
export const AWAY = parseRegionId('us-east-1');
export const EPOCH = 1 as Epoch;
export const SILENT = { event() {}, metrics() {} };

/** What captures at the leader's Region into a log, and a slot of its database. */
export async function captureAt(url: string, slot: string, log: ReplicaLog) {
  const control = new MemoryControl(HOME);
  await control.nameLeader({ leader: HOME, epoch: EPOCH });
  const deps = {
    region: HOME,
    engine: new PostgresCapture(GROUP),
    log,
    control,
    divergences: new MemoryDivergences(),
    rejects: { put: () => Promise.reject(new Error('rejected')) },
    telemetry: SILENT,
  };
  const connect = connector({ connectionString: url });
  const slotDeps = {
    slot,
    publication: 'understudy',
    region: HOME,
    epoch: EPOCH,
    connect,
    telemetry: SILENT,
  };
  return { deps, slotDeps };
}

/**
 * Servers of a leader and a follower, with the same settings.
 *
 * @param commits whether a commit waits until it is on disk (`synchronous_commit`).
 */
export async function withServers<T>(
  work: (leader: PostgresServer, follower: PostgresServer) => Promise<T>,
  commits: 'on' | 'off' = 'off',
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-bench-'));
  const settings = {
    shared_buffers: '512MB',
    max_wal_size: '4GB',
    autovacuum: 'off',
    synchronous_commit: commits,
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
