import { hash } from 'node:crypto';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { ByteReader } from '#lib/domain/segment/byte-reader.ts';
import type { ByteWriter } from '#lib/domain/segment/byte-writer.ts';
import {
  corrupt,
  MAX_NAME_BYTES,
  MAX_NAMES,
  MAX_RAW_BYTES,
  MAX_RECORDS,
  MAX_SCHEMA_BYTES,
} from '#lib/domain/segment/format.ts';

/** First and last sequence that a segment holds of a shard, in the order of its records. */
export type Position = { readonly shard: string; readonly first: string; readonly last: string };

export type Header = {
  readonly group: string;
  readonly tables: readonly string[];
  readonly shards: readonly string[];
  /** Engine-defined, e.g. a dictionary of attribute names. */
  readonly schema: Uint8Array;
  /** SHA-256 of `schema`, hex. */
  readonly schemaHash: string;
  readonly count: number;
  /** Bytes of the records before compression. */
  readonly rawBytes: number;
  /** Commit times of the oldest and the newest record, Unix ms. */
  readonly minCommitMs: number;
  readonly maxCommitMs: number;
  /** In the order of `shards`, without those that have no record. */
  readonly positions: readonly Position[];
};

const HASH_BYTES = 32;

/*
 * Strings and lists carry their length first; all numbers are varints: group, tables, shards, record count, raw
 * bytes, oldest commit time, distance to the newest, positions (shard's index, first digits, last digits),
 * schema, its SHA-256 (32 bytes).
 */
export function putHeader(out: ByteWriter, header: Omit<Header, 'schemaHash'>): void {
  putName(out, header.group);
  putNames(out, header.tables);
  putNames(out, header.shards);
  out.varint(header.count);
  out.varint(header.rawBytes);
  out.varint(header.minCommitMs);
  out.varint(header.maxCommitMs - header.minCommitMs);
  out.varint(header.positions.length);
  let next = 0;
  for (const { shard, first, last } of header.positions) {
    const index = header.shards.indexOf(shard, next);
    next = index + 1;
    out.varint(index);
    out.bytes(Buffer.from(first, 'latin1'));
    out.bytes(Buffer.from(last, 'latin1'));
  }
  out.bytes(header.schema);
  out.raw(hash('sha256', header.schema, 'buffer'));
}

export function takeHeader(from: ByteReader): Header {
  const group = from.name();
  const tables = takeNames(from);
  const shards = takeNames(from);
  const count = from.upTo(MAX_RECORDS);
  const rawBytes = from.upTo(MAX_RAW_BYTES);
  const minCommitMs = from.varint();
  const maxCommitMs = minCommitMs + from.upTo(Number.MAX_SAFE_INTEGER - minCommitMs);
  const positions: Position[] = [];
  let next = 0;
  for (let left = from.count(shards.length, 5); left > 0; left -= 1) {
    const index = from.varint();
    const shard = shards[index];
    if (shard === undefined || index < next) throw corrupt('has a position of no shard');
    positions.push({ shard, first: from.sequence(), last: from.sequence() });
    next = index + 1;
  }
  const schema = from.bytes(MAX_SCHEMA_BYTES);
  const schemaHash = hash('sha256', schema, 'hex');
  if (Buffer.from(from.raw(HASH_BYTES)).toString('hex') !== schemaHash) {
    throw corrupt('has a schema that is not the one that its hash names');
  }
  from.done();
  if (count === 0 || positions.length === 0) throw corrupt('has no record');
  return { group, tables, shards, count, rawBytes, minCommitMs, maxCommitMs, positions, schema, schemaHash };
}

/** Throws CONFIG_INVALID unless `name` can stand in a header. */
export function checkName(name: string): void {
  if (!name.isWellFormed() || Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw invalid(
      'a name in a segment is too long or not Unicode',
      `Use at most ${MAX_NAME_BYTES} bytes of UTF-8.`,
    );
  }
}

/** Throws CONFIG_INVALID unless tables, shards and schema can stand in a header. */
export function checkSource({ tables, shards, schema }: Pick<Header, 'tables' | 'shards' | 'schema'>): void {
  for (const names of [tables, shards]) {
    if (names.length > MAX_NAMES)
      throw invalid('a segment names too many tables or shards', 'Split the batch.');
    if (new Set(names).size < names.length)
      throw invalid('a segment names a table or shard twice', 'Name it once.');
    for (const name of names) checkName(name);
  }
  if (schema.length > MAX_SCHEMA_BYTES) throw invalid('a schema is larger than 16 MiB', 'Split the batch.');
}

export function invalid(what: string, next: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', what, next);
}

function putName(out: ByteWriter, name: string): void {
  out.bytes(Buffer.from(name, 'utf8'));
}

function putNames(out: ByteWriter, names: readonly string[]): void {
  out.varint(names.length);
  for (const name of names) putName(out, name);
}

function takeNames(from: ByteReader): string[] {
  const names: string[] = [];
  for (let left = from.count(MAX_NAMES, 1); left > 0; left -= 1) names.push(from.name());
  if (new Set(names).size < names.length) throw corrupt('names a table or shard twice');
  return names;
}
