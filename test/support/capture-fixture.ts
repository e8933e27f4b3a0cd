import { LANE_0, parseRegionId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { DynamoCapture } from '#lib/engines/dynamodb/dynamo-capture.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { Reject } from '#lib/ports/rejects.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { type Captured, capture } from '#lib/usecases/capture.ts';
import { E1, GROUP } from './log-history.ts';
import { type LoggedRecord, loggedRecords } from './log-records.ts';
import { RecordedTelemetry } from './recorded-telemetry.ts';
import { PK, s, streamRecord } from './stream-records.ts';

export const HOME = parseRegionId('eu-west-1');
export const AWAY = parseRegionId('us-east-1');

/** A record of a shard's stream: an item of key `pk` is put. Sequence numbers have 21 digits, as DynamoDB's do. */
export function put(sequence: number, pk = `k${sequence}`): StreamRecord {
  const { dynamodb, ...record } = streamRecord(PK, sequenceOf(sequence), undefined, {
    pk: s(pk),
    at: s(`${sequence}`),
  });
  return { ...record, dynamodb: { ...dynamodb, ApproximateCreationDateTime: 1_700_000_000 + sequence } };
}

/** A record that no segment can hold: its images do not fit its event name. */
export function poison(sequence: number): StreamRecord {
  return { ...put(sequence), eventName: 'REMOVE' };
}

export function sequenceOf(sequence: number): string {
  return `${100_000_000_000_000_000_000n + BigInt(sequence)}`;
}

/** `count` puts, beginning with sequence number `first`. */
export function puts(first: number, count: number): readonly StreamRecord[] {
  return Array.from({ length: count }, (_, index) => put(first + index));
}

/** Capture in the Region HOME, over a log in memory and a failure destination that can be down. */
export class CaptureFixture {
  readonly log = new MemoryLog(GROUP);
  readonly control = new MemoryControl(HOME);
  readonly divergences = new MemoryDivergences();
  readonly telemetry = new RecordedTelemetry();
  readonly rejected: Reject[] = [];
  /** The head that the last call handed back for the next one. */
  lastHead: Head | undefined;
  /** Says of a reject whether the failure destination is down for it. */
  isDown: (reject: Reject) => boolean = () => false;

  async lead(leader = HOME, epoch: Epoch = E1): Promise<this> {
    await this.control.nameLeader({ leader, epoch });
    return this;
  }

  /** @param log what capture sees of the log, if not the log itself. @param known the head as last seen. */
  async capture(
    shard: string,
    records: readonly StreamRecord[],
    log: ReplicaLog = this.log,
    known?: Head,
  ): Promise<Omit<Captured, 'head'>> {
    const engine = new DynamoCapture({ group: GROUP, table: 'orders', key: PK });
    const { control, telemetry } = this;
    const rejects = {
      put: async (reject: Reject) => {
        if (this.isDown(reject)) throw new Error('the queue is down');
        this.rejected.push(reject);
      },
    };
    const { divergences } = this;
    const deps = { region: HOME, engine, log, control, divergences, rejects, telemetry };
    const { head, ...captured } = await capture(deps, LANE_0, shard, records, known);
    this.lastHead = head;
    return captured;
  }

  records(): Promise<readonly LoggedRecord[]> {
    return loggedRecords(this.log, PK);
  }

  /** The logged sequence numbers, in the order of the log, as small numbers. */
  async sequences(shard?: string): Promise<readonly number[]> {
    const records = await this.records();
    return records
      .filter((record) => shard === undefined || record.shard === shard)
      .map(({ sequence }) => Number(BigInt(sequence) - 100_000_000_000_000_000_000n));
  }
}
