import { LANE_0 } from '#lib/domain/ids.ts';
import { EPOCH_ZERO, LSN_ZERO } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { until } from '../local/until.ts';
import { GROUP } from '../support/log-history.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { SoakWorker } from './soak-worker.ts';

export type Carried = {
  /** Most memory that each process had in use, bytes; the log is in neither. */
  readonly peakBytes: { readonly capture: number; readonly apply: number };
  readonly seconds: number;
};

export const LARGE_SCHEMA =
  'CREATE TABLE big (id bigint PRIMARY KEY, customer text, total numeric(12,2), placed timestamptz)';
/** One transaction of so many rows, of about 60 bytes. */
export const manyRows = (rows: number) =>
  `INSERT INTO big SELECT n, 'customer-' || n % 999, n % 1000 + 0.5, '2026-11-27' FROM generate_series(1, ${rows}) n`;
/** One transaction of so many rows of 100 kB. */
export const wideRows = (rows: number) =>
  `INSERT INTO big SELECT n, (SELECT string_agg(md5(n || ' ' || k), '') FROM generate_series(1, 3125) k) FROM generate_series(1, ${rows}) n`;

const SLOT = 'large';
/** Far less than a function of 1,024 MB gives: without a limit V8 keeps garbage for as long as there is room. */
const HEAP_MIB = 128;
const WITHIN_MS = 300_000;

/**
 * Has one transaction captured by a process and applied by another, with the log in neither, and measures what memory they
 * take. Throws unless the follower has what the leader has.
 *
 * @param streams the slot is read by the replication protocol; else by SQL.
 */
export async function carryTransaction(
  servers: { readonly leader: TestPostgres; readonly follower: TestPostgres },
  sql: string,
  streams: boolean,
): Promise<Carried> {
  const urls = {
    leader: await servers.leader.createDatabase(),
    follower: await servers.follower.createDatabase(),
  };
  const leader = await servers.leader.connect(urls.leader);
  const follower = await servers.follower.connect(urls.follower);
  const log = new MemoryLog(GROUP);
  let failure: string | undefined;
  const answer = async (method: string, args: readonly unknown[]) => {
    if (method !== 'failed')
      return (log[method as keyof MemoryLog] as (...given: unknown[]) => unknown).apply(log, [...args]);
    failure ??= args.join(' ');
    return undefined;
  };
  for (const client of [leader, follower]) await client.query(LARGE_SCHEMA);
  const slot = `${SLOT}_${new URL(urls.leader).pathname.slice(1)}`;
  await prepareLeader(leader, 'understudy', slot);
  await prepareFollower(follower, 'soak');
  const checkpoints = new PostgresCheckpoints(connector({ connectionString: urls.follower }));
  const { lease } = await checkpoints.takeLease(LANE_0);
  const applied = { lsn: LSN_ZERO, epoch: EPOCH_ZERO, totalBytes: 0n, commitMs: 0 };
  await checkpoints.saveApplyState(lease, { applied });
  await leader.query(sql);
  const began = performance.now();
  const [capture, apply] = (['capture', 'apply'] as const).map(
    (role) => new SoakWorker({ role, ...urls, slot, streams, heapMiB: HEAP_MIB }, answer),
  );
  try {
    const rows = async (client: typeof leader) =>
      (
        await client.query<{ rows: string }>(
          'SELECT count(*) || md5(coalesce(sum(hashtextextended(t::text, 0)), 0)::text) AS rows FROM big t',
        )
      ).rows[0]!.rows;
    const expected = await rows(leader);
    const isDone = async () => {
      if (failure !== undefined) throw new Error(failure);
      if (capture!.isDead || apply!.isDead)
        throw new Error('a process has ended, perhaps for want of memory');
      const state = await checkpoints.applyState(LANE_0);
      return state.applied!.lsn > 0n && state.applied!.lsn === (await log.head(LANE_0)).lastLsn;
    };
    await until('it is applied', isDone, WITHIN_MS);
    const seconds = (performance.now() - began) / 1000;
    if ((await rows(follower)) !== expected) throw new Error('the follower has other rows');
    const peakBytes = { capture: await capture!.peakBytes(), apply: await apply!.peakBytes() };
    return { peakBytes, seconds };
  } finally {
    await Promise.all([capture!.stop(), apply!.stop()]);
    await Promise.all([leader.end(), follower.end()]);
  }
}
