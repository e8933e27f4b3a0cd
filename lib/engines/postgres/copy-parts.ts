import type pg from 'pg';
import { becomeReplica, makeOrigin } from '#lib/engines/postgres/apply-session.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { copyAcross } from '#lib/engines/postgres/copy-across.ts';
import { HELPER_NAME, KEEP_LEASE } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { literal } from '#lib/engines/postgres/quote.ts';
import { SNAPSHOT_NAME } from '#lib/engines/postgres/snapshot.ts';
import type { ApplyLease } from '#lib/ports/control.ts';

/*
 * A large table is copied in parts, runs of its pages, by several pairs of sessions at once, which all see it as it was at one
 * position: those at the leader share a snapshot. Each at the follower commits by itself, while the lease holds, and before
 * the checkpoint says that the table is copied: if it never does, the table is emptied and copied anew.
 */

/** Pairs of sessions at a time, with the applier's own. */
const SESSIONS = 4;
/** Pages of the table for each of them at least, and of a part at most. */
const SESSION_PAGES = 4_096;
const PART_PAGES = 16_384;
/** Parts for each at least: who is done early takes another. */
const PARTS_EACH = 2;

export type CopyDeps = {
  /** Connects to the follower's database, and to the leader's. */
  readonly connect: Connect;
  readonly leader: Connect;
  /** Of the applier's own session; a helper has one of its own beside it. */
  readonly origin: string;
  readonly lease: ApplyLease;
};

type Pair = { readonly from: pg.Client; readonly to: pg.Client };
type TableCopy = { readonly select: string; readonly into: string; readonly format: 'binary' | 'text' };

/** Conditions that part a table of so many pages; one that all rows meet if that is not worth it. */
export function partsOf(pages: number): readonly string[] {
  const sessions = Math.min(SESSIONS, Math.floor(pages / SESSION_PAGES));
  if (sessions < 2) return ['true'];
  const each = Math.min(PART_PAGES, Math.ceil(pages / (PARTS_EACH * sessions)));
  const bounds = Array.from({ length: Math.ceil(pages / each) - 1 }, (_, i) => `'(${(i + 1) * each},0)'`);
  return [
    `ctid < ${bounds[0]}`,
    ...bounds.slice(1).map((bound, i) => `ctid >= ${bounds[i]} AND ctid < ${bound}`),
    `ctid >= ${bounds.at(-1)}`,
  ];
}

function sessionsFor(parts: readonly string[]): number {
  return Math.min(SESSIONS, Math.floor(parts.length / PARTS_EACH));
}

/** Copies the parts of a table, in the open transactions of `own` and in those of helpers; rows, or `lost` if the lease is. */
export async function copyParts(
  deps: CopyDeps,
  own: Pair,
  { select, into, format }: TableCopy,
  parts: readonly string[],
): Promise<number | 'lost'> {
  const queue = parts.values();
  let rows = 0;
  const take = async ({ from, to }: Pair) => {
    for (const part of queue) {
      const copied = await copyAcross(from, `${select} WHERE ${part}`, to, into, format);
      rows += copied;
    }
  };
  const helpers = parts.length === 1 ? [] : await helpersOf(deps, own.from, sessionsFor(parts) - 1);
  try {
    await Promise.all([own, ...helpers].map(take));
    for (const { to } of helpers) {
      const { rowCount } = await to.query(KEEP_LEASE, [deps.lease.lane, deps.lease.token]);
      if (rowCount !== 1) return 'lost';
      await to.query('COMMIT');
    }
    return rows;
  } finally {
    await Promise.all(helpers.map(end));
  }
}

/** As many as can be had: the applier's own sessions do without them. */
async function helpersOf(deps: CopyDeps, from: pg.Client, count: number): Promise<readonly Pair[]> {
  const { rows } = await from.query<{ id: string }>('SELECT pg_export_snapshot() AS id');
  const opening = Array.from({ length: count }, (_, i) =>
    openHelper(deps, rows[0]!.id, `${deps.origin} copy ${i + 1}`).catch(() => undefined),
  );
  return (await Promise.all(opening)).filter((each) => each !== undefined);
}

async function openHelper({ connect, leader }: CopyDeps, snapshot: string, origin: string): Promise<Pair> {
  const to = await connect({ applicationName: HELPER_NAME });
  let from: pg.Client | undefined;
  try {
    await makeOrigin(to, origin);
    await becomeReplica(to, origin);
    await to.query('SET synchronous_commit = off; BEGIN');
    from = await leader({ applicationName: SNAPSHOT_NAME });
    await from.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await from.query(`SET TRANSACTION SNAPSHOT ${literal(snapshot)}`);
    return { from, to };
  } catch (error) {
    await Promise.all([to.end(), from?.end()]);
    throw error;
  }
}

async function end({ from, to }: Pair): Promise<void> {
  await Promise.all([from.end(), to.end()]);
}
