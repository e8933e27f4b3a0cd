import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';
import { MessageReader } from '#lib/engines/postgres/pgoutput/message-reader.ts';
import { MAX_COLUMNS } from '#lib/engines/postgres/pgoutput/row-change.ts';

export type RelationColumn = {
  readonly name: string;
  readonly key: boolean;
  /** OID of the type at the leader: means the same elsewhere if it is one that PostgreSQL comes with. */
  readonly type: number;
  readonly modifier: number;
};

export type Relation = {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly identity: 'default' | 'nothing' | 'full' | 'index';
  readonly columns: readonly RelationColumn[];
};

/** A prepared transaction's place in the leader's write-ahead log. */
type Prepared = { readonly lsn: bigint; readonly endLsn: bigint; readonly atUs: bigint };

/** Any message of pgoutput, protocol versions 1 to 4, but the change of a row. Times are Unix microseconds. */
export type Message =
  | { readonly kind: 'begin'; readonly commitLsn: bigint; readonly atUs: bigint; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: bigint; readonly endLsn: bigint; readonly atUs: bigint }
  | { readonly kind: 'origin'; readonly lsn: bigint; readonly name: string }
  | ({ readonly kind: 'relation'; readonly xid: number | undefined } & Relation)
  | {
      readonly kind: 'type';
      readonly xid: number | undefined;
      readonly oid: number;
      readonly schema: string;
      readonly name: string;
    }
  | {
      readonly kind: 'truncate';
      readonly xid: number | undefined;
      readonly cascade: boolean;
      readonly restartIdentity: boolean;
      readonly relations: readonly number[];
    }
  | {
      readonly kind: 'message';
      readonly xid: number | undefined;
      readonly transactional: boolean;
      readonly lsn: bigint;
      readonly prefix: string;
      readonly content: Uint8Array;
    }
  | { readonly kind: 'stream-start'; readonly xid: number; readonly first: boolean }
  | { readonly kind: 'stream-stop' }
  | {
      readonly kind: 'stream-commit';
      readonly xid: number;
      readonly commitLsn: bigint;
      readonly endLsn: bigint;
      readonly atUs: bigint;
    }
  /** `subxid` is `xid` where the whole transaction is undone. `lsn` and `atUs` come with parallel streaming only. */
  | {
      readonly kind: 'stream-abort';
      readonly xid: number;
      readonly subxid: number;
      readonly lsn: bigint | undefined;
      readonly atUs: bigint | undefined;
    }
  | ({ readonly kind: 'begin-prepare'; readonly xid: number; readonly gid: string } & Prepared)
  | ({ readonly kind: 'prepare'; readonly xid: number; readonly gid: string } & Prepared)
  | ({ readonly kind: 'commit-prepared'; readonly xid: number; readonly gid: string } & Prepared)
  | {
      readonly kind: 'rollback-prepared';
      readonly prepareEndLsn: bigint;
      readonly endLsn: bigint;
      readonly preparedUs: bigint;
      readonly atUs: bigint;
      readonly xid: number;
      readonly gid: string;
    }
  | ({ readonly kind: 'stream-prepare'; readonly xid: number; readonly gid: string } & Prepared);

const IDENTITIES: Readonly<Record<string, Relation['identity']>> = {
  d: 'default',
  n: 'nothing',
  f: 'full',
  i: 'index',
};
const KEY_FLAG = 1;
const CASCADE = 1;
const RESTART_IDENTITY = 2;

/**
 * Decodes a message that is not the change of a row (see RowChange for those).
 *
 * @param streamed true between Stream Start and Stream Stop, where messages bear a transaction's number.
 *
 * Throws PGOUTPUT_MALFORMED.
 */
export function decodeMessage(bytes: Uint8Array, streamed = false): Message {
  const from = new MessageReader(bytes);
  const message = take(String.fromCharCode(from.u8()), from, streamed);
  from.done();
  return message;
}

function take(tag: string, from: MessageReader, streamed: boolean): Message {
  const xidIfStreamed = () => (streamed ? from.u32() : undefined);
  switch (tag) {
    case 'B':
      return { kind: 'begin', commitLsn: from.wal(), atUs: from.time(), xid: from.u32() };
    case 'C':
      none(from.u8());
      return { kind: 'commit', commitLsn: from.wal(), endLsn: from.wal(), atUs: from.time() };
    case 'O':
      return { kind: 'origin', lsn: from.wal(), name: from.name() };
    case 'R':
      return { kind: 'relation', xid: xidIfStreamed(), ...takeRelation(from) };
    case 'Y':
      return {
        kind: 'type',
        xid: xidIfStreamed(),
        oid: from.u32(),
        schema: schemaName(from),
        name: from.name(),
      };
    case 'T':
      return takeTruncate(from, xidIfStreamed());
    case 'M':
      return takeLogical(from, xidIfStreamed());
    case 'S':
      return { kind: 'stream-start', xid: from.u32(), first: flag(from.u8()) };
    case 'E':
      return { kind: 'stream-stop' };
    case 'c': {
      const xid = from.u32();
      none(from.u8());
      return { kind: 'stream-commit', xid, commitLsn: from.wal(), endLsn: from.wal(), atUs: from.time() };
    }
    case 'A': {
      const [xid, subxid] = [from.u32(), from.u32()];
      const parallel = from.left > 0;
      const lsn = parallel ? from.wal() : undefined;
      return { kind: 'stream-abort', xid, subxid, lsn, atUs: parallel ? from.time() : undefined };
    }
    case 'b':
      return { kind: 'begin-prepare', ...takePrepared(from) };
    case 'P':
      none(from.u8());
      return { kind: 'prepare', ...takePrepared(from) };
    case 'K':
      none(from.u8());
      return { kind: 'commit-prepared', ...takePrepared(from) };
    case 'r': {
      none(from.u8());
      const [prepareEndLsn, endLsn] = [from.wal(), from.wal()];
      const [preparedUs, atUs] = [from.time(), from.time()];
      return {
        kind: 'rollback-prepared',
        prepareEndLsn,
        endLsn,
        preparedUs,
        atUs,
        xid: from.u32(),
        gid: from.name(),
      };
    }
    case 'p':
      none(from.u8());
      return { kind: 'stream-prepare', ...takePrepared(from) };
    default:
      throw malformed('is of an unknown kind');
  }
}

function takePrepared(from: MessageReader): Prepared & { readonly xid: number; readonly gid: string } {
  return { lsn: from.wal(), endLsn: from.wal(), atUs: from.time(), xid: from.u32(), gid: from.name() };
}

/** Of what PostgreSQL comes with, it leaves the schema out. */
function schemaName(from: MessageReader): string {
  return from.name() || 'pg_catalog';
}

function takeRelation(from: MessageReader): Relation {
  const oid = from.u32();
  const schema = schemaName(from);
  const name = from.name();
  const identity = IDENTITIES[String.fromCharCode(from.u8())];
  if (identity === undefined) throw malformed('has a table of an unknown replica identity');
  const count = from.u16();
  if (count > MAX_COLUMNS) throw malformed(`has a table of ${count} columns`);
  const columns: RelationColumn[] = [];
  for (let left = count; left > 0; left -= 1) {
    const flags = from.u8();
    if (flags > KEY_FLAG) throw malformed('has flags of no known meaning');
    columns.push({ key: flags === KEY_FLAG, name: from.name(), type: from.u32(), modifier: from.i32() });
  }
  return { oid, schema, name, identity, columns };
}

function takeTruncate(from: MessageReader, xid: number | undefined): Message {
  const count = from.u32();
  const flags = from.u8();
  if (flags > (CASCADE | RESTART_IDENTITY)) throw malformed('has flags of no known meaning');
  if (count * 4 !== from.left) throw malformed('has other tables than it says');
  const relations = Array.from({ length: count }, () => from.u32());
  return {
    kind: 'truncate',
    xid,
    cascade: (flags & CASCADE) !== 0,
    restartIdentity: (flags & RESTART_IDENTITY) !== 0,
    relations,
  };
}

function takeLogical(from: MessageReader, xid: number | undefined): Message {
  const transactional = flag(from.u8());
  const lsn = from.wal();
  const prefix = from.name();
  return { kind: 'message', xid, transactional, lsn, prefix, content: from.raw(from.u32()) };
}

function flag(byte: number): boolean {
  if (byte > 1) throw malformed('has flags of no known meaning');
  return byte === 1;
}

/** Flags that no version gives a meaning to. */
function none(flags: number): void {
  if (flags !== 0) throw malformed('has flags of no known meaning');
}
