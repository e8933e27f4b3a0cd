import type pg from 'pg';
import { LANE_0, parseRegionId } from '#lib/domain/ids.ts';
import { type Epoch, LSN_ZERO } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import type { CapturedChange } from '#lib/engines/postgres/captured-change.ts';
import { type Connect, connector } from '#lib/engines/postgres/connect.ts';
import { PolledSlot } from '#lib/engines/postgres/polled-slot.ts';
import { PostgresCapture } from '#lib/engines/postgres/postgres-capture.ts';
import { prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { CaptureDeps } from '#lib/usecases/capture.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { until } from '../local/until.ts';
import { E1, GROUP } from './log-history.ts';
import type { TestPostgres } from './postgres.ts';
import { RecordedTelemetry } from './recorded-telemetry.ts';

export const HOME = parseRegionId('eu-west-1');

let slots = 0;

/** A database that leads, its slot, and a log in memory that its changes go to. */
export class PostgresLeader {
  readonly log: MemoryLog;
  readonly control = new MemoryControl(HOME);
  readonly telemetry = new RecordedTelemetry();
  readonly url: string;
  readonly client: pg.Client;
  readonly connect: Connect;
  readonly slot: string;

  private constructor(url: string, client: pg.Client, slot: string, log: MemoryLog) {
    this.log = log;
    this.url = url;
    this.client = client;
    this.slot = slot;
    this.connect = connector({ connectionString: url });
  }

  /** @param schema statements that make the tables, before the slot is made. */
  static async start(
    postgres: TestPostgres,
    schema: string,
    log = new MemoryLog(GROUP),
    epoch = E1,
  ): Promise<PostgresLeader> {
    const url = await postgres.createDatabase();
    const client = await postgres.connect(url);
    const slot = `slot_${++slots}`;
    await client.query(schema);
    await prepareLeader(client, 'understudy', slot);
    const leader = new PostgresLeader(url, client, slot, log);
    await leader.control.nameLeader({ leader: HOME, epoch });
    return leader;
  }

  source(kind: 'polled' | 'streamed', epoch: Epoch = E1): PolledSlot | StreamedSlot {
    const { slot, connect, telemetry } = this;
    const deps = { slot, publication: 'understudy', region: HOME, epoch, connect, telemetry };
    return kind === 'polled' ? new PolledSlot(deps) : new StreamedSlot(deps);
  }

  deps(log: ReplicaLog = this.log): CaptureDeps<CapturedChange> {
    return {
      region: HOME,
      engine: new PostgresCapture(GROUP),
      log,
      control: this.control,
      divergences: new MemoryDivergences(),
      rejects: { put: () => Promise.reject(new Error('nothing is rejected')) },
      telemetry: this.telemetry,
    };
  }

  /** Captures until everything that is committed by now is in the log and confirmed. */
  async capture(
    kind: 'polled' | 'streamed' = 'polled',
    log: ReplicaLog = this.log,
    epoch: Epoch = E1,
  ): Promise<void> {
    const { rows } = await this.client.query<{ end: string }>('SELECT pg_current_wal_insert_lsn() AS end');
    const abort = new AbortController();
    let ended = false;
    const running = captureSource(this.deps(log), LANE_0, this.source(kind, epoch), abort.signal).finally(
      () => {
        ended = true;
      },
    );
    running.catch(() => {});
    await until('the slot is confirmed', async () => ended || (await this.isConfirmed(rows[0]!.end)));
    abort.abort();
    try {
      await running;
    } finally {
      await until('the slot is free', async () => !(await this.isRead()));
    }
  }

  async isRead(): Promise<boolean> {
    const { rows } = await this.client.query('SELECT active FROM pg_replication_slots WHERE slot_name = $1', [
      this.slot,
    ]);
    return rows[0]?.active === true;
  }

  async isConfirmed(position: string): Promise<boolean> {
    const { rows } = await this.client.query(
      'SELECT confirmed_flush_lsn >= $2 AS done FROM pg_replication_slots WHERE slot_name = $1',
      [this.slot, position],
    );
    return rows[0]?.done === true;
  }

  /** What the log holds, record by record: kind and table. */
  async logged(): Promise<{ readonly kind: string; readonly table: string; readonly sequence: string }[]> {
    const records: { kind: string; table: string; sequence: string }[] = [];
    for (const entry of await this.log.entries(LANE_0, LSN_ZERO, 10_000)) {
      const segment = openSegment(await this.log.getSegment(entry));
      segment.forEach(({ kind, table, sequence }) => {
        records.push({ kind, table: segment.info.tables[table]!, sequence });
      });
    }
    return records;
  }
}
