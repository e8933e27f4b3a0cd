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
/** The last digits of an ordinal, ready made. */
const LOW_DIGITS = 3;
const LOW = Array.from({ length: 10 ** LOW_DIGITS }, (_, n) => String(n).padStart(LOW_DIGITS, '0'));

/** A table as a session describes it, and as the tables of a change that is of it alone. */
type KnownTable = { readonly table: DescribedTable; readonly alone: readonly DescribedTable[] };
type Transaction = {
  readonly head: string;
  readonly commitMs: number;
  ordinal: number;
  /** Of the heartbeat that it brings. */
  beatMs?: number;
  /** The digits of the next sequence but for the last few. */
  high: string;
  last: readonly DescribedTable[];
};

/**
 * Makes batches of the messages of one session of a slot (pgoutput without streaming and two-phase commit). It keeps
 * a row's bytes as they are. In a batch a table has one description, under one name, and a name belongs to one table.
 */
export class ChangeCollector {
  readonly #checkType: (type: number) => void;
  readonly #tables = new Map<number, KnownTable>();
  readonly #types = new Map<number, Uint8Array>();
  readonly #done: { readonly batch: ChangeBatch; readonly bytes: number }[] = [];
  #records: CapturedChange[] = [];
  /** By name and by OID. */
  #used = new Map<string | number, DescribedTable>();
  /** The tables of the last change, which the batch in progress has. */
  #last: readonly DescribedTable[] | undefined;
  #end: bigint | undefined;
  #bytes = 0;
  /** Of the batch in progress. */
  #batchBytes = 0;
  /** The transaction in progress. */
  #transaction: Transaction | undefined;

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

  /** Takes a message, whose bytes must stay as they are. Throws PGOUTPUT_MALFORMED. */
  push(message: Uint8Array): void {
    const kind = ROW_KINDS.get(message[0] ?? 0);
    if (kind !== undefined) {
      const { table, alone } = this.#table(relationOf(message, 0, message.length));
      if (table.relation.schema !== OWN_SCHEMA) this.#add(kind, message, alone);
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
          high: '',
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
        const table = { name: tableName(decoded), relation: decoded, message: bytes, types };
        this.#tables.set(decoded.oid, { table, alone: [table] });
        return;
      }
      case 'type':
        this.#types.set(decoded.oid, Buffer.from(message));
        return;
      case 'truncate':
        this.#add(
          'statement',
          message,
          decoded.relations.map((oid) => this.#table(oid).table),
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
    const done = this.#done.shift();
    this.#bytes -= done?.bytes ?? 0;
    return done?.batch;
  }

  #add(kind: ChangeKind, bytes: Uint8Array, tables: readonly DescribedTable[], beatMs?: number): void {
    const transaction = this.#transaction;
    if (!transaction) throw malformed('changes something outside of a transaction');
    if (tables !== this.#last) this.#use(tables);
    const ordinal = transaction.ordinal++;
    if (ordinal >= MAX_ORDINAL) throw malformed('belongs to a transaction of too many changes');
    const low = ordinal % LOW.length;
    if (low === 0) {
      const high = String((ordinal - low) / LOW.length);
      transaction.high = transaction.head + high.padStart(ORDINAL_DIGITS - LOW_DIGITS, '0');
    }
    const sequence = transaction.high + LOW[low]!;
    const { commitMs } = transaction;
    transaction.last = tables;
    this.#batchBytes += bytes.length + CHANGE_BYTES;
    this.#bytes += bytes.length + CHANGE_BYTES;
    this.#records.push({ kind, tables, sequence, commitMs, beatMs, bytes });
  }

  /** A heartbeat is in with the end of its transaction: a log that is sealed in between has no whole one to show for it. */
  #addMessage(message: Uint8Array, beatMs: number | undefined): void {
    this.#add('marker', message, []);
    if (beatMs !== undefined) this.#transaction!.beatMs = beatMs;
  }

  /** The batch in progress ends before tables that it has otherwise. */
  #use(tables: readonly DescribedTable[]): void {
    const isOther = (known: DescribedTable | undefined, table: DescribedTable) => (known ?? table) !== table;
    const used = this.#used;
    if (
      tables.some(
        (table) => isOther(used.get(table.name), table) || isOther(used.get(table.relation.oid), table),
      )
    )
      this.#close();
    for (const table of tables) this.#used.set(table.name, table).set(table.relation.oid, table);
    this.#last = tables;
  }

  #table(oid: number): KnownTable {
    const table = this.#tables.get(oid);
    if (table === undefined) throw malformed(`refers to table ${oid}, which was not described`);
    return table;
  }

  #close(): void {
    if (this.#records.length === 0 && this.#end === undefined) return;
    this.#done.push({ batch: { records: this.#records, end: this.#end }, bytes: this.#batchBytes });
    this.#batchBytes = 0;
    this.#last = undefined;
    this.#records = [];
    this.#used = new Map();
    this.#end = undefined;
  }
}
