import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { Prepared } from '#lib/engines/postgres/pipeline.ts';
import { APPLIER_NAME, stateText } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { postgresFailure, sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';

/*
 * Commits are not waited for to be on disk: data and checkpoint go together, so a crash takes back both, and the log
 * still has them. Only who is told to alter a table must find it the same after a crash: see `flush`. Rows are found by index only: a batch is small beside its table, whatever statistics say. A
 * session that is frozen inside a transaction is ended by the server, so that its locks do not stay.
 */
const SETTINGS = `
  SET synchronous_commit = off; SET idle_in_transaction_session_timeout = '60s'; SET plan_cache_mode = force_generic_plan;
  SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off`;

const ORIGIN_TRIES = 100;
const ORIGIN_PAUSE_MS = 50;

/** A connection that applies under one lease. */
export class ApplySession {
  readonly client: pg.Client;
  readonly prepared = new Prepared();
  readonly lease: ApplyLease;
  /** True if this session's changes fire no triggers and check no foreign keys: the leader has done that. */
  readonly isReplica: boolean;
  #ended = false;

  private constructor(client: pg.Client, lease: ApplyLease, isReplica: boolean) {
    this.client = client;
    this.lease = lease;
    this.isReplica = isReplica;
    client.once('end', () => {
      this.#ended = true;
    });
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  /**
   * Undefined if the lease is lost, or if the database does not stand at `state`: a crash may have taken back what was
   * committed a moment ago, and the checkpoint with it.
   *
   * @param origin under which this database's own slot knows applied changes.
   */
  static async open(
    connect: Connect,
    lease: ApplyLease,
    origin: string,
    state?: ApplyState,
  ): Promise<ApplySession | undefined> {
    const client = await connect({ applicationName: APPLIER_NAME });
    try {
      await client.query(SETTINGS);
      const { rowCount } = await client.query(
        `UPDATE understudy.checkpoint SET holder = pg_backend_pid()
          WHERE lane = $1 AND token = $2 AND ($3::jsonb IS NULL OR state = $3)`,
        [lease.lane, lease.token, state && stateText(state)],
      );
      if (rowCount !== 1) {
        await client.end();
        return undefined;
      }
      return new ApplySession(client, lease, await becomeReplica(client, origin));
    } catch (error) {
      await client.end();
      throw postgresFailure(error, 'begin to apply');
    }
  }

  /** Undoes what is open, and has on disk what was committed before: a commit that waits for it takes all others along. */
  async flush(): Promise<void> {
    await this.client.query('ROLLBACK; SET synchronous_commit = on');
    await this.client.query('UPDATE understudy.checkpoint SET holder = holder WHERE lane = $1', [
      this.lease.lane,
    ]);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.client.end();
  }
}

/** Makes an origin of changes, unless it is there. */
export async function makeOrigin(client: pg.Client, origin: string): Promise<void> {
  await client.query(
    `SELECT pg_replication_origin_create($1)
      WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = $1)`,
    [origin],
  );
}

/** Names the origin of a session's changes; true if they fire no triggers and check no foreign keys. */
export async function becomeReplica(client: pg.Client, origin: string): Promise<boolean> {
  await setOrigin(client, origin);
  try {
    await client.query('SET session_replication_role = replica');
    return true;
  } catch (error) {
    if (sqlState(error) === '42501') return false;
    throw error;
  }
}

/** An origin belongs to one session at a time, and that of the applier before takes a moment to end. */
async function setOrigin(client: pg.Client, origin: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await client.query('SELECT pg_replication_origin_session_setup($1)', [origin]);
      return;
    } catch (error) {
      if (sqlState(error) === '42501') throw rightMissing(error);
      if (sqlState(error) !== '55006' || tries === ORIGIN_TRIES) throw error;
      await sleep(ORIGIN_PAUSE_MS);
    }
  }
}

function rightMissing(cause: unknown): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_REFUSED',
    'the role may not name the origin of its changes, so this database would send them on',
    'As an administrator: GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO the role.',
    { cause },
  );
}
