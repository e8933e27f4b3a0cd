import type pg from 'pg';
import { isFailure } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Entry } from '#lib/domain/log.ts';
import { advance, LSN_ZERO, type Lsn } from '#lib/domain/lsn.ts';
import { ApplySession } from '#lib/engines/postgres/apply-session.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { type PostgresChange, readChanges } from '#lib/engines/postgres/divergent-change.ts';
import { liftForeignKeys } from '#lib/engines/postgres/foreign-keys.ts';
import { type Keys, LeaderRows, removeRows } from '#lib/engines/postgres/leader-rows.ts';
import { awaitWindow, forEachRow, type Window, writeWindow } from '#lib/engines/postgres/leader-window.ts';
import { Pipeline } from '#lib/engines/postgres/pipeline.ts';
import { checkpointValues, LEASE_LOST, MOVE_CHECKPOINT } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { postgresFailure, sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { appliedAt } from '#lib/engines/postgres/postgres-replica.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import { RunReader } from '#lib/engines/postgres/run-reader.ts';
import type { SlotName } from '#lib/engines/postgres/slot-session.ts';
import { publishedTables } from '#lib/engines/postgres/snapshot.ts';
import { knownTable } from '#lib/engines/postgres/table-key.ts';
import { tellChanges } from '#lib/engines/postgres/tell-changes.ts';
import { TouchedRows, type TouchedTable } from '#lib/engines/postgres/touched-rows.ts';
import { hasUncollected } from '#lib/engines/postgres/uncollected.ts';
import { valueTexts } from '#lib/engines/postgres/value-texts.ts';
import type { ApplyLease } from '#lib/ports/control.ts';
import type { TransactionRewinder } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

const WHOLE_BYTES = 256 << 20;
/** How long a table's lock is waited for: whoever wants to write waits behind. */
const LOCK_TIMEOUT_MS = 2_000;

type Onto = Parameters<TransactionRewinder['takeOver']>[2];

export type RewinderDeps = SlotName & {
  readonly connect: Connect;
  /** Connects to the leader's database. */
  readonly leader: Connect;
  /** Name under which this database knows applied changes. */
  readonly origin: string;
  /** Names of the own slot and of the leader's in the marks of the log. */
  readonly shard: string;
  readonly leaderShard: string;
  readonly telemetry: Telemetry;
  /** Size of a table above which it is not copied in passing, bytes. */
  readonly wholeBytes?: number;
};

/**
 * Takes a PostgreSQL database back. The rows that diverged are replaced by what the leader has in their place at one exact
 * moment; all others are brought to the same moment by its log. It is one transaction, which moves the checkpoint too: what is
 * visible is what diverged, and then what the leader had after one of its commits.
 */
export class PostgresRewinder implements TransactionRewinder {
  readonly #deps: RewinderDeps;

  constructor(deps: RewinderDeps) {
    this.#deps = deps;
  }

  read(bytes: Uint8Array, entry?: Entry): readonly PostgresChange[] {
    return readChanges(bytes, entry);
  }

  async wholeUpTo(log: ReplicaLog, upTo: Lsn, led: boolean): Promise<Lsn> {
    const readerAt = async (lsn: Lsn) => {
      const entry = await log.entryAt(LANE_0, lsn);
      const bytes = entry && (await log.getSegment(entry));
      return entry && { first: entry.first, reader: new RunReader([{ entry, bytes: bytes! }], LSN_ZERO) };
    };
    const last = await readerAt(upTo);
    if (last === undefined || last.reader.lastEnd()?.lsn === upTo) return upTo;
    const transaction = last.reader.lastTransaction;
    // A slot tells a transaction once it has committed: the store that it is of has all of it.
    const isOwn = led && transaction.startsWith(`${this.#deps.shard} `);
    const goesOn = async () => (await readerAt(advance(upTo, 1)))?.reader.firstTransaction === transaction;
    if (!isOwn && !(await goesOn())) return upTo;
    let whole = upTo;
    for (let at: typeof last | undefined = last; at !== undefined; at = await readerAt(whole)) {
      const end = at.reader.lastEnd();
      if (end !== undefined) return end.lsn;
      whole = advance(at.first, -1);
    }
    return whole;
  }

  async tell(changes: readonly PostgresChange[]): Promise<readonly PostgresChange[]> {
    const client = await this.#deps.connect({ applicationName: 'understudy reattach' });
    try {
      return await tellChanges(client, changes);
    } catch (error) {
      throw postgresFailure(error, 'tell what has diverged');
    } finally {
      await client.end();
    }
  }

  async takeOver(
    lease: ApplyLease,
    changes: readonly PostgresChange[],
    onto: Onto,
  ): Promise<'done' | 'lost' | 'unknown'> {
    if (onto.led && this.#hasLostSlot(onto)) return 'unknown';
    const session = await ApplySession.open(this.#deps.connect, lease, this.#deps.origin);
    if (session === undefined) return 'lost';
    let rows: LeaderRows | undefined;
    try {
      const touched = await touchedBy(session.client, changes);
      // Without a change to undo, the store stands where it is.
      if (touched.tables.length === 0) return await this.#replace(session, { touched, changes }, onto);
      const names = touched.tables.map(({ table }) => table.name);
      rows = await LeaderRows.open(this.#deps.leader, this.#deps.publication, names);
      const window = await this.#windowOf(onto, rows.position);
      if (typeof window === 'string') return window;
      while (growsBy(touched, window));
      for (const table of touched.tables) {
        if (table.whole && (await rows.sizeOf(table)) > (this.#deps.wholeBytes ?? WHOLE_BYTES))
          return 'unknown';
      }
      return await this.#replace(session, { touched, changes, leader: { rows, window } }, onto);
    } catch (error) {
      // The two databases are not what the log says: whatever it is, a copy puts it right.
      if (sqlState(error)?.startsWith('23') || isFailure(error, 'APPLY_CONFLICT')) {
        this.#deps.telemetry.event('not-taken-over', { why: String(error) });
        return 'unknown';
      }
      throw postgresFailure(error, 'be taken back');
    } finally {
      await rows?.end();
      await session.end();
    }
  }

  /** What it led by was another slot: nobody knows what that one had not told yet. A name is never used twice (ADR 21). */
  #hasLostSlot({ marks }: Onto): boolean {
    const { shard, slot } = this.#deps;
    const region = shard.slice(0, -slot.length);
    return marks[shard] === undefined && Object.keys(marks).some((name) => name.startsWith(region));
  }

  /** The leader's log up to the moment, which it may not have come to yet. */
  async #windowOf({ from, log, epoch }: Onto, position: bigint): Promise<Window | 'lost' | 'unknown'> {
    const window = await awaitWindow(log, from.lsn, { position, shard: this.#deps.leaderShard, epoch });
    return window === 'behind' ? 'lost' : window;
  }

  async #replace(
    session: ApplySession,
    given: {
      readonly touched: TouchedRows;
      readonly changes: readonly PostgresChange[];
      readonly leader?: { readonly rows: LeaderRows; readonly window: Window };
    },
    onto: Onto,
  ): Promise<'done' | 'lost'> {
    const { client } = session;
    const { touched, changes, leader } = given;
    const keys = await keysOf(client, touched.tables);
    // On disk before anybody is told that it is done: whoever goes on from there could not tell that a crash has undone it.
    await client.query('BEGIN READ WRITE; SET LOCAL synchronous_commit = on');
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await client.query('SET CONSTRAINTS ALL DEFERRED');
    const all = (await publishedTables(client, this.#deps.publication)).map(sqlOf).join(', ');
    // Whoever still writes here ends before, and what it wrote is found; or waits until all is over.
    if (all !== '') await client.query(`LOCK TABLE ${all} IN SHARE ROW EXCLUSIVE MODE`);
    if (onto.led && (await this.#hasMore(changes, onto))) return 'lost';
    let applied = onto.from;
    if (leader !== undefined) {
      const { rows, window } = leader;
      const relations = touched.tables.map(({ table }) => table.relation);
      const restore = session.isReplica ? undefined : await liftForeignKeys(client, relations);
      for (const table of touched.tables) await removeRows(client, table, keys.get(table)!);
      await writeWindow(session, window, touched);
      for (const table of touched.tables) await rows.copy(table, keys.get(table)!, client);
      await restore?.();
      if (window.end !== undefined) applied = appliedAt(window.end, onto.from);
    }
    if (!(await onto.isDue())) return 'lost';
    const rewound = { to: applied.lsn, epoch: onto.epoch, lsn: applied.lsn };
    const closing = new Pipeline(session.prepared);
    closing.add(MOVE_CHECKPOINT, checkpointValues(session.lease, { applied, rewound }));
    closing.add({ text: 'COMMIT', types: [] });
    try {
      await closing.run(client);
    } catch (error) {
      if (sqlState(error) !== LEASE_LOST || closing.completed > 0) throw error;
      return 'lost';
    }
    return 'done';
  }

  /** Was anything written here that is not in the report? */
  #hasMore(changes: readonly PostgresChange[], { epoch }: Onto): Promise<boolean> {
    const { connect, slot, publication, shard } = this.#deps;
    let known = 0n;
    for (const change of changes) {
      const sequence = BigInt(change.sequence);
      if (change.shard === shard && sequence > known) known = sequence;
    }
    return hasUncollected(connect, { slot, publication, epoch }, known);
  }
}

async function touchedBy(client: pg.Client, changes: readonly PostgresChange[]): Promise<TouchedRows> {
  const primary = new Map<string, readonly string[]>();
  for (const table of new Set(changes.flatMap(({ tables }) => tables))) {
    if (primary.has(table.name) || table.relation.identity !== 'full') continue;
    const { key } = await knownTable(client, table);
    primary.set(
      table.name,
      key.map((column) => table.relation.columns[column]!.name),
    );
  }
  const touched = new TouchedRows(({ name }) => primary.get(name) ?? []);
  for (const change of changes) touched.add(change);
  return touched;
}

/** True if a window's changes have made rows belong to the touched ones that did not before. */
function growsBy(touched: TouchedRows, window: Window): boolean {
  let grows = false;
  forEachRow(window, (table, message) => {
    if (touched.join(table, message)) grows = true;
  });
  return grows;
}

/** The keys of touched rows as text. */
async function keysOf(
  client: pg.Client,
  tables: readonly TouchedTable[],
): Promise<ReadonlyMap<TouchedTable, Keys>> {
  const keys = new Map<TouchedTable, Keys>();
  for (const each of tables) {
    const { table, key, rows, whole } = each;
    const { columns } = await knownTable(client, table);
    const typeOf = (name: string) =>
      columns[table.relation.columns.findIndex((one) => one.name === name)]!.type;
    keys.set(each, whole ? [] : await valueTexts(client, key.map(typeOf), [...rows.values()]));
  }
  return keys;
}

function sqlOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quote(schema)}.${quote(name)}`;
}
