import type { UnderstudyError } from '#lib/domain/errors.ts';
import type { Head } from '#lib/domain/log.ts';
import { LSN_ZERO, type Lsn } from '#lib/domain/lsn.ts';
import { commitConflict } from '#lib/engines/postgres/apply-conflict.ts';
import { ApplySession } from '#lib/engines/postgres/apply-session.ts';
import { applySteps } from '#lib/engines/postgres/apply-steps.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { liftUntilCopied, restoreLifted } from '#lib/engines/postgres/foreign-keys.ts';
import { LeaderCatalog } from '#lib/engines/postgres/leader-catalog.ts';
import { applierFailure } from '#lib/engines/postgres/lock-holders.ts';
import { Pipeline, type Statement } from '#lib/engines/postgres/pipeline.ts';
import { checkpointValues, LEASE_LOST, MOVE_CHECKPOINT } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { postgresFailure, sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { RunReader, type TransactionEnd } from '#lib/engines/postgres/run-reader.ts';
import { SeenTables } from '#lib/engines/postgres/seen-tables.ts';
import {
  copiedOf,
  estimateRows,
  publishedTables,
  SNAPSHOT_NAME,
  settledAt,
} from '#lib/engines/postgres/snapshot.ts';
import { TableCopier } from '#lib/engines/postgres/table-copier.ts';
import { TargetTables } from '#lib/engines/postgres/target-tables.ts';
import type { Applied, ApplyLease, ApplyState } from '#lib/ports/control.ts';
import type { ApplyOutcome, PlacedSegment, ReplicaStore } from '#lib/ports/replica-store.ts';

const BEGIN: readonly Statement[] = ['BEGIN', 'SET CONSTRAINTS ALL DEFERRED'].map((text) => ({
  text,
  types: [],
}));
const statement = (text: string): Statement => ({ text, types: [] });

/**
 * A PostgreSQL database as a replica. Whole transactions of the leader, many at a time, become one transaction here,
 * which moves the checkpoint too: what is visible is always what the leader had after one of its commits. A
 * transaction that is longer than a run stays open until its end is there.
 */
export class PostgresReplica implements ReplicaStore {
  readonly splitsEntries = true;
  readonly #connect: Connect;
  readonly #leader: Connect;
  readonly #publication: string;
  readonly #origin: string;
  #session: ApplySession | undefined;
  #targets: TargetTables | undefined;
  /** While tables are copied under the session's lease. */
  #copier: TableCopier | undefined;
  /** The leader's transaction that is open in the session. */
  #open: { readonly transaction: string; readonly upTo: Lsn } | undefined;

  /**
   * @param leader connects to the leader's database, which snapshots are taken of.
   * @param origin name under which this database knows applied changes; `prepareFollower` has made it.
   */
  constructor(deps: {
    readonly connect: Connect;
    readonly leader: Connect;
    readonly publication: string;
    readonly origin: string;
  }) {
    this.#connect = deps.connect;
    this.#leader = deps.leader;
    this.#publication = deps.publication;
    this.#origin = deps.origin;
  }

  async apply(lease: ApplyLease, state: ApplyState, run: readonly PlacedSegment[]): Promise<ApplyOutcome> {
    if (state.snapshot?.phase === 'copy') return { kind: 'applied', state };
    const { pending, ...durable } = state;
    // A transaction that was open in a session which has ended never happened; it is read again from its beginning.
    if (pending !== undefined && pending !== this.#open?.upTo) return this.#forget(durable);
    const reader = new RunReader(run, pending ?? state.applied?.lsn ?? LSN_ZERO);
    if (reader.isEmpty) {
      // A database that crashed may have taken back what it had committed: whoever comes next asks where it stands.
      if (this.#session?.isEnded !== true) return { kind: 'applied', state };
      await this.#drop();
      return { kind: 'lost' };
    }
    try {
      const session = await this.#sessionFor(lease, durable);
      if (session === undefined) return { kind: 'lost' };
      if (this.#open !== undefined && this.#open.transaction !== reader.firstTransaction) {
        // Its leader is gone and its end never came: it has not happened.
        await session.client.query('ROLLBACK');
        this.#open = undefined;
      }
      return await this.#applyRun(session, durable, reader);
    } catch (error) {
      throw await this.#stopped(error);
    }
  }

  async beginSnapshot(lease: ApplyLease, at: Head): Promise<ApplyOutcome> {
    try {
      await this.#closeCopier();
      const session = await this.#sessionFor(lease);
      if (session === undefined) return { kind: 'lost' };
      const leader = await this.#leader({ applicationName: SNAPSHOT_NAME });
      try {
        const { lastLsn: lsn, lastEpoch: epoch, totalBytes, lastCommitMs: commitMs } = at;
        const rowsEstimated = await estimateRows(leader, this.#publication);
        const published = await publishedTables(leader, this.#publication);
        if (!session.isReplica) {
          await session.client.query('BEGIN');
          await liftUntilCopied(session.client, published);
        }
        await this.#targets!.begin(epoch, published);
        return await this.#commit(session, {
          applied: { lsn, epoch, totalBytes, commitMs },
          snapshot: { phase: 'copy', startLsn: lsn, startEpoch: epoch, rowsCopied: 0, rowsEstimated },
        });
      } finally {
        await leader.end();
      }
    } catch (error) {
      await this.#drop();
      throw postgresFailure(error, 'begin a snapshot');
    }
  }

  /** Copies one table. Nothing is applied before all are copied: the log keeps it. */
  async stepSnapshot(lease: ApplyLease, state: ApplyState, at: Head): Promise<ApplyOutcome> {
    const { snapshot } = state;
    if (snapshot === undefined) return { kind: 'applied', state };
    // Positions of one leader mean nothing to the next.
    if (snapshot.startEpoch > 0 && at.lastEpoch > snapshot.startEpoch) return this.beginSnapshot(lease, at);
    if (snapshot.phase !== 'copy') return { kind: 'applied', state };
    try {
      const session = await this.#sessionFor(lease, state);
      if (session === undefined) return { kind: 'lost' };
      this.#copier ??= await TableCopier.open({
        leader: this.#leader,
        publication: this.#publication,
        connect: this.#connect,
        origin: this.#origin,
        lease,
      });
      const { client } = session;
      await client.query('BEGIN');
      const copied = await this.#copier.copyNext(client, snapshot, async () => {
        if ((await this.#commit(session, state)).kind === 'lost') return false;
        await client.query('BEGIN');
        return true;
      });
      if (copied === 'lost') {
        await this.#drop();
        return { kind: 'lost' };
      }
      const outcome = await this.#commit(session, { ...state, snapshot: copied });
      if (copied.phase !== 'copy') await this.#closeCopier();
      return outcome;
    } catch (error) {
      await this.#drop();
      throw postgresFailure(error, 'copy a table');
    }
  }

  /** Ends the session; what is open in it is undone. */
  async close(): Promise<void> {
    await this.#drop();
  }

  async #applyRun(session: ApplySession, state: ApplyState, reader: RunReader): Promise<ApplyOutcome> {
    const tables = this.#targets!;
    await tables.load(reader, this.#open !== undefined);
    // Of a run that begins inside of a transaction, its end is the last that was looked at leniently.
    const end = this.#open === undefined ? reader.lastEnd() : reader.ends()[0];
    const upTo = end?.lsn ?? reader.end;
    const copied = state.snapshot === undefined ? {} : copiedOf(state.snapshot);
    await applySteps(session, tables, { reader, upTo, copied }, this.#open === undefined ? BEGIN : []);
    if (end === undefined) {
      this.#open = { transaction: reader.lastTransaction, upTo };
      return { kind: 'applied', state: { ...state, pending: upTo } };
    }
    const { snapshot, ...rest } = state;
    const applied = appliedAt(end, state.applied);
    const isSettled = snapshot === undefined || end.commitLsn >= settledAt(copiedOf(snapshot));
    if (!isSettled) return this.#commit(session, { ...rest, applied, snapshot });
    const isRestored = snapshot !== undefined && (await restoreLifted(session.client));
    const outcome = await this.#commit(session, { ...rest, applied });
    // What was known of the tables is without their foreign keys.
    if (isRestored) await this.#drop();
    return outcome;
  }

  /** Moves the checkpoint and commits, or neither. */
  async #commit(session: ApplySession, state: ApplyState): Promise<ApplyOutcome> {
    const closing = new Pipeline(session.prepared);
    closing.add(MOVE_CHECKPOINT, checkpointValues(session.lease, state));
    this.#targets?.save(closing);
    closing.add(statement('COMMIT'));
    try {
      await closing.run(session.client);
    } catch (error) {
      const isMoved = closing.completed > 0;
      if (isMoved && state.applied && sqlState(error)?.startsWith('23'))
        throw commitConflict(state.applied.lsn, error);
      if (sqlState(error) !== LEASE_LOST || isMoved) throw error;
      await this.#drop();
      return { kind: 'lost' };
    }
    this.#open = undefined;
    return { kind: 'applied', state };
  }

  /** @param state where the database is thought to stand; undefined if that does not matter. */
  async #sessionFor(lease: ApplyLease, state?: ApplyState): Promise<ApplySession | undefined> {
    const known = this.#session;
    if (known !== undefined && known.lease.token === lease.token && !known.isEnded) return known;
    await this.#drop();
    this.#session = await ApplySession.open(this.#connect, lease, this.#origin, state);
    if (this.#session !== undefined) {
      const seen = await SeenTables.read(this.#session.client);
      this.#targets = new TargetTables(this.#session, { seen, leader: new LeaderCatalog(this.#leader) });
    }
    return this.#session;
  }

  /** Ends the session; what to say of an error that it met. */
  async #stopped(error: unknown): Promise<UnderstudyError> {
    try {
      const failure = await applierFailure(this.#connect, error, 'apply', this.#targets?.locals);
      // What is altered by what it says must not go back, by a crash, to before the changes that led to it.
      if (failure.code === 'SCHEMA_DIFFERS') await this.#session?.flush();
      return failure;
    } catch (unflushed) {
      return postgresFailure(unflushed, 'apply');
    } finally {
      await this.#drop();
    }
  }

  async #forget(state: ApplyState): Promise<ApplyOutcome> {
    await this.#drop();
    return { kind: 'applied', state };
  }

  async #closeCopier(): Promise<void> {
    const copier = this.#copier;
    this.#copier = undefined;
    await copier?.close();
  }

  async #drop(): Promise<void> {
    await this.#closeCopier();
    const session = this.#session;
    this.#session = undefined;
    this.#targets = undefined;
    this.#open = undefined;
    await session?.end();
  }
}

/** What a store has applied that stands at the end of a transaction. */
export function appliedAt({ placed, lsn, commitMs }: TransactionEnd, before: Applied | undefined): Applied {
  const { entry } = placed;
  const isWhole = lsn === entry.first + BigInt(entry.count) - 1n;
  return {
    lsn,
    epoch: entry.epoch,
    // Where it ends inside of an entry, only what is before the entry is known to be applied.
    totalBytes: isWhole ? entry.totalBytes : entry.totalBytes - BigInt(entry.bytes),
    commitMs: Math.max(before?.commitMs ?? 0, commitMs),
  };
}
