import type pg from 'pg';
import type { LaneId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { applierFailure } from '#lib/engines/postgres/lock-holders.ts';
import type { Statement } from '#lib/engines/postgres/pipeline.ts';
import type { ApplyLease, ApplyState, ApplyStates, SnapshotProgress } from '#lib/ports/control.ts';

/** How an applier calls itself: whoever takes the lease may end it. */
export const APPLIER_NAME = 'understudy apply';
/** And those who help it to copy a large table. */
export const HELPER_NAME = 'understudy copy';

/** The follower's own table of what it has applied: it moves in the transaction that applies. */
export const CHECKPOINT_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.checkpoint (
    lane text PRIMARY KEY,
    token bigint NOT NULL,
    holder int,
    state jsonb NOT NULL DEFAULT '{}')`;

/**
 * Moves the checkpoint, if the lease still holds. If not, the division fails, and with it the transaction: data that
 * was written without the lease is never committed.
 */
export const MOVE_CHECKPOINT: Statement = {
  text: `WITH moved AS (
           UPDATE understudy.checkpoint SET state = $3 WHERE lane = $1 AND token = $2 RETURNING 1)
         SELECT 1 / count(*) FROM moved`,
  types: [25, 20, 3802],
};

/** Finds the checkpoint if the lease still holds; until the transaction ends, whoever takes the lease waits. */
export const KEEP_LEASE = 'SELECT FROM understudy.checkpoint WHERE lane = $1 AND token = $2 FOR SHARE';

/** SQLSTATE of a checkpoint that could not be moved: the lease has gone to somebody else. */
export const LEASE_LOST = '22012';

export function checkpointValues({ lane, token }: ApplyLease, state: ApplyState): readonly string[] {
  return [lane, String(token), stateText(state)];
}

/** Positions and lease of a follower, kept in its own database. */
export class PostgresCheckpoints implements ApplyStates {
  readonly #connect: Connect;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  applyState(lane: LaneId): Promise<ApplyState> {
    return this.#with((client) => readCheckpoint(client, lane));
  }

  /** Ends the sessions of the applier before, wherever they stand, so that their locks are gone too. */
  takeLease(lane: LaneId): Promise<{ lease: ApplyLease; state: ApplyState }> {
    return this.#with(async (client) => {
      await client.query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
          WHERE datname = current_database() AND (application_name = $3 OR application_name = $2
            AND pid = (SELECT holder FROM understudy.checkpoint WHERE lane = $1))`,
        [lane, APPLIER_NAME, HELPER_NAME],
      );
      const { rows } = await client.query<{ token: string; state: StoredState }>(
        `INSERT INTO understudy.checkpoint (lane, token) VALUES ($1, 1)
         ON CONFLICT (lane) DO UPDATE SET token = understudy.checkpoint.token + 1, holder = NULL
         RETURNING token, state`,
        [lane],
      );
      const row = rows[0]!;
      return { lease: { lane, token: Number(row.token) }, state: readState(row.state) };
    });
  }

  saveApplyState(lease: ApplyLease, state: ApplyState): Promise<'saved' | 'lost'> {
    return this.#with(async (client) => {
      const { rowCount } = await client.query(
        'UPDATE understudy.checkpoint SET state = $3 WHERE lane = $1 AND token = $2',
        [lease.lane, lease.token, stateText(state)],
      );
      return rowCount === 1 ? 'saved' : 'lost';
    });
  }

  async #with<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.#connect({ applicationName: 'understudy' });
    try {
      return await work(client);
    } catch (error) {
      throw await applierFailure(this.#connect, error, 'read or move its checkpoint');
    } finally {
      await client.end();
    }
  }
}

/** What a database has applied, as a session sees it. */
export async function readCheckpoint(client: pg.Client, lane: LaneId): Promise<ApplyState> {
  const { rows } = await client.query<{ state: StoredState }>(
    'SELECT state FROM understudy.checkpoint WHERE lane = $1',
    [lane],
  );
  return rows[0] === undefined ? {} : readState(rows[0].state);
}

type StoredState = {
  readonly applied?: { lsn: string; epoch: number; totalBytes: string; commitMs: number };
  readonly snapshot?: Omit<SnapshotProgress, 'startLsn' | 'startEpoch'> & {
    startLsn: string;
    startEpoch: number;
  };
  readonly rewound?: { to: string; epoch: number; lsn: string };
};

/** A state as the checkpoint holds it. */
export function stateText({ applied, snapshot, rewound }: ApplyState): string {
  return JSON.stringify({
    ...(applied && { applied: { ...applied, lsn: `${applied.lsn}`, totalBytes: `${applied.totalBytes}` } }),
    ...(snapshot && { snapshot: { ...snapshot, startLsn: `${snapshot.startLsn}` } }),
    ...(rewound && { rewound: { ...rewound, to: `${rewound.to}`, lsn: `${rewound.lsn}` } }),
  });
}

function readState({ applied, snapshot, rewound }: StoredState): ApplyState {
  return {
    ...(applied && {
      applied: {
        lsn: parseLsn(applied.lsn),
        epoch: parseEpoch(applied.epoch),
        totalBytes: BigInt(applied.totalBytes),
        commitMs: applied.commitMs,
      },
    }),
    ...(snapshot && {
      snapshot: {
        ...snapshot,
        startLsn: parseLsn(snapshot.startLsn),
        startEpoch: parseEpoch(snapshot.startEpoch),
      },
    }),
    ...(rewound && {
      rewound: {
        to: parseLsn(rewound.to),
        epoch: parseEpoch(rewound.epoch),
        lsn: parseLsn(rewound.lsn),
      },
    }),
  };
}
