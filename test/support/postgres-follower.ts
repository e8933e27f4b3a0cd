import type pg from 'pg';
import { LANE_0, parseRegionId } from '#lib/domain/ids.ts';
import { EPOCH_ZERO, LSN_ZERO } from '#lib/domain/lsn.ts';
import { type Connect, connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { PostgresReplica } from '#lib/engines/postgres/postgres-replica.ts';
import { prepareFollower } from '#lib/engines/postgres/prepare.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import type { Control } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { type ApplyDeps, applyLog, type Holding } from '#lib/usecases/apply.ts';
import { E1 } from './log-history.ts';
import type { TestPostgres } from './postgres.ts';
import { HOME } from './postgres-leader.ts';
import { RecordedTelemetry } from './recorded-telemetry.ts';

export const AWAY = parseRegionId('us-east-1');
let followers = 0;

/** A database that follows a log, by the use case that the function runs. */
export class PostgresFollower {
  readonly url: string;
  readonly client: pg.Client;
  connect: Connect;
  readonly origin: string;
  readonly log: ReplicaLog;
  readonly roles = new MemoryControl(AWAY);
  checkpoints: PostgresCheckpoints;
  readonly telemetry = new RecordedTelemetry();
  replica: PostgresReplica;
  #holding: Holding | undefined;
  /** Where snapshots are taken; without it, the follower begins where the log does. */
  #leader: Connect = () => Promise.reject(new Error('no snapshot is due'));

  private constructor(url: string, client: pg.Client, log: ReplicaLog, origin = `origin_${++followers}`) {
    this.url = url;
    this.client = client;
    this.log = log;
    this.origin = origin;
    this.connect = connector({ connectionString: url });
    this.checkpoints = new PostgresCheckpoints(this.connect);
    this.replica = this.newReplica();
  }

  /** A follower that stands where the log begins: its tables are those of the leader, and empty. */
  static async start(
    postgres: TestPostgres,
    schema: string,
    log: ReplicaLog,
    leader?: Connect,
  ): Promise<PostgresFollower> {
    const url = await postgres.createDatabase();
    const client = await postgres.connect(url);
    await client.query(schema);
    const follower = new PostgresFollower(url, client, log);
    await prepareFollower(client, follower.origin);
    await follower.roles.nameLeader({ leader: HOME, epoch: E1 });
    if (leader !== undefined) {
      follower.#leader = leader;
      await follower.restart();
      return follower;
    }
    const { lease } = await follower.checkpoints.takeLease(LANE_0);
    const applied = { lsn: LSN_ZERO, epoch: EPOCH_ZERO, totalBytes: 0n, commitMs: 0 };
    await follower.checkpoints.saveApplyState(lease, { applied });
    return follower;
  }

  /** From now on the leader's database can be reached from here. */
  reach(leader: Connect): void {
    this.#leader = leader;
  }

  /** The same follower, reached by another role. */
  async as(url: string): Promise<PostgresFollower> {
    const other = new PostgresFollower(url, this.client, this.log, this.origin);
    await other.roles.nameLeader({ leader: HOME, epoch: E1 });
    return other;
  }

  /** From now on it waits for no lock longer than this, ms. */
  waitForLocks(ms: number): void {
    const { connect } = this;
    this.connect = async (options) => {
      const client = await connect(options);
      await client.query(`SET lock_timeout = ${ms}`);
      return client;
    };
    this.checkpoints = new PostgresCheckpoints(this.connect);
    this.replica = this.newReplica();
  }

  newReplica(): PostgresReplica {
    return new PostgresReplica({
      connect: this.connect,
      leader: (options) => this.#leader(options),
      publication: 'understudy',
      origin: this.origin,
    });
  }

  get control(): Control {
    const { roles, checkpoints } = this;
    return {
      role: () => roles.role(),
      nameLeader: (next) => roles.nameLeader(next),
      attach: (epoch) => roles.attach(epoch),
      applyState: (lane) => checkpoints.applyState(lane),
      takeLease: (lane) => checkpoints.takeLease(lane),
      saveApplyState: (lease, state) => checkpoints.saveApplyState(lease, state),
      noteRewound: (lease, rewound) => roles.noteRewound(lease, rewound),
    };
  }

  /** Applies all that the log holds, as one process would, call after call. */
  async apply(): Promise<void> {
    const holding = this.#holding;
    this.#holding = undefined;
    this.#holding = await applyLog(this.deps(), () => true, holding);
  }

  /** The process ends without a word; the next one knows only what is saved. */
  async restart(): Promise<void> {
    await this.replica.close();
    this.replica = this.newReplica();
    this.#holding = undefined;
  }

  deps(replica: PostgresReplica = this.replica): ApplyDeps {
    const { log, telemetry, control } = this;
    const peers = { log: () => log, control: () => control };
    return { region: AWAY, peers, control, storeOf: () => replica, telemetry };
  }
}

/** Every row of every table of a database, as text, in an order of its own. */
export async function contents(client: pg.Client): Promise<Readonly<Record<string, readonly string[]>>> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
      WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'understudy') ORDER BY 1`,
  );
  const all: Record<string, readonly string[]> = {};
  for (const { name } of rows) {
    const table = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t ORDER BY 1`);
    all[name] = table.rows.map(({ row }) => row);
  }
  return all;
}
