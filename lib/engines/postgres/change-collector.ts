import type { ChangeKind } from '#lib/domain/change.ts';
import {
  type CapturedChange,
  type DescribedTable,
  ORDINAL_DIGITS,
} from '#lib/engines/postgres/captured-change.ts';
import { OWN_SCHEMA } from '#lib/engines/postgres/own-names.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';
import { relationOf } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { tableName } from '#lib/engines/postgres/quote.ts';
import { heartbeatTime } from '#lib/engines/postgres/write-path.ts';

/** Consecutive changes, and how far the source may forget once they are logged. */
export type ChangeBatch = {
  readonly records: readonly CapturedChange[];
  /** WAL position after the last transaction that is whole by now; undefined if none ended in this batch. */
  readonly end: bigint | undefined;
};

const ROW_KINDS: ReadonlyMap<number, ChangeKind> = new Map([
  [0x49, 'insert'],
  [0x55, 'update'],
  [0x44, 'delete'],
]);
const FIRST_USER_OID = 16_384;
/** What a change takes in memory beside its bytes, about: of small rows a batch is as heavy as of large ones. */
const CHANGE_BYTES = 256;
const MAX_ORDINAL = 10 ** ORDINAL_DIGITS;

/**
 * Makes batches of the messages of one session of a slot (pgoutput without streaming and two-phase commit). It keeps
 * a row's bytes as they are. In a batch a table has one description, under one name, and a name belongs to one table.
 */
export class ChangeCollector {
  readonly #checkType: (type: number) => void;
  readonly #tables = new Map<number, DescribedTable>();
  readonly #types = new Map<number, Uint8Array>();
  readonly #done: ChangeBatch[] = [];
  #records: CapturedChange[] = [];
  /** By name and by OID. */
  #used = new Map<string | number, DescribedTable>();
  #end: bigint | undefined;
  #bytes = 0;
  /** The transaction in progress. */
  #transaction:
    | {
        readonly head: string;
        readonly commitMs: number;
        ordinal: number;
        last: readonly DescribedTable[];
        beatMs?: number;
      }
    | undefined;

  /** @param checkType throws if columns of a type may not appear. */
  constructor(checkType: (type: number) => void = () => {}) {
    this.#checkType = checkType;
  }

  /** True between a transaction's begin and its end. */
  get isInTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  /** Memory that the changes take which nobody has taken yet, bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a copy of a message. Throws PGOUTPUT_MALFORMED. */
  push(message: Uint8Array): void {
    const kind = ROW_KINDS.get(message[0] ?? 0);
    if (kind !== undefined) {
      const table = this.#table(relationOf(message, 0, message.length));
      if (table.relation.schema !== OWN_SCHEMA) this.#add(kind, message, [table]);
      return;
    }
    const decoded = decodeMessage(message);
    switch (decoded.kind) {
      case 'begin':
        if (this.#transaction) throw malformed('begins a transaction inside another');
        this.#transaction = {
          head: `${decoded.commitLsn}`,
          commitMs: Number(decoded.atUs / 1000n),
          ordinal: 0,
          last: [],
        };
        return;
      case 'commit': {
        const transaction = this.#transaction;
        if (!transaction) throw malformed('ends a transaction that has not begun');
        if (transaction.ordinal > 0) this.#add('marker', message, transaction.last, transaction.beatMs);
        this.#transaction = undefined;
        this.#end = decoded.endLsn;
        return;
      }
      case 'relation': {
        for (const { type } of decoded.columns) this.#checkType(type);
        const types = decoded.columns.flatMap(({ type }) =>
          type < FIRST_USER_OID ? [] : (this.#types.get(type) ?? []),
        );
        const bytes = Buffer.from(message);
        this.#tables.set(decoded.oid, { name: tableName(decoded), relation: decoded, message: bytes, types });
        return;
      }
      case 'type':
        this.#types.set(decoded.oid, Buffer.from(message));
        return;
      case 'truncate':
        this.#add(
          'statement',
          message,
          decoded.relations.map((oid) => this.#table(oid)),
        );
        return;
      case 'message':
        // One that belongs to no transaction would stand before what was done before it.
        if (decoded.transactional) this.#addMessage(message, heartbeatTime(decoded));
        return;
      case 'origin':
        return;
      default:
        throw malformed(`of the kind ${decoded.kind} was not asked for`);
    }
  }

  /** The oldest changes not taken yet; undefined if there is nothing, not even a transaction's end. */
  take(): ChangeBatch | undefined {
    if (this.#done.length === 0) this.#close();
    const batch = this.#done.shift();
    for (const { bytes } of batch?.records ?? []) this.#bytes -= bytes.length + CHANGE_BYTES;
    return batch;
  }

  #add(kind: ChangeKind, message: Uint8Array, tables: readonly DescribedTable[], beatMs?: number): void {
    const transaction = this.#transaction;
    if (!transaction) throw malformed('changes something outside of a transaction');
    for (const table of tables) {
      const [named, numbered] = [this.#used.get(table.name), this.#used.get(table.relation.oid)];
      if ((named ?? table) !== table || (numbered ?? table) !== table) {
        this.#close();
        break;
      }
    }
    for (const table of tables) this.#used.set(table.name, table).set(table.relation.oid, table);
    if (transaction.ordinal >= MAX_ORDINAL) throw malformed('belongs to a transaction of too many changes');
    const ordinal = String(transaction.ordinal++).padStart(ORDINAL_DIGITS, '0');
    const sequence = transaction.head + ordinal;
    transaction.last = tables;
    const bytes = Buffer.from(message);
    this.#bytes += bytes.length + CHANGE_BYTES;
    const beat = beatMs === undefined ? undefined : { beatMs };
    this.#records.push({ kind, tables, sequence, commitMs: transaction.commitMs, ...beat, bytes });
  }

  /** A heartbeat is in with the end of its transaction: a log that is sealed in between has no whole one to show for it. */
  #addMessage(message: Uint8Array, beatMs: number | undefined): void {
    this.#add('marker', message, []);
    if (beatMs !== undefined) this.#transaction!.beatMs = beatMs;
  }

  #table(oid: number): DescribedTable {
    const table = this.#tables.get(oid);
    if (table === undefined) throw malformed(`refers to table ${oid}, which was not described`);
    return table;
  }

  #close(): void {
    if (this.#records.length === 0 && this.#end === undefined) return;
    this.#done.push({ records: this.#records, end: this.#end });
    this.#records = [];
    this.#used = new Map();
    this.#end = undefined;
  }
}
