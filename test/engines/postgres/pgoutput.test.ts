import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFailure } from '#lib/domain/errors.ts';
import { decodeMessage, type Message } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { RowChange, type Tuple } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { messageBytes, type Row, rowBytes, type Value } from '../../support/pgoutput-bytes.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const wal = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const atUs = fc.bigInt({ min: 0n, max: 4_000_000_000_000_000n });
const name = fc
  .string({ unit: 'grapheme', maxLength: 20 })
  .filter((text) => !text.includes('\0') && text.isWellFormed());
const schema = name.filter((text) => text !== '');
const gid = name;
const xid = u32;
const prepared = { lsn: wal, endLsn: wal, atUs, xid, gid };
const content = fc.uint8Array({ maxLength: 50 });

const messages = (streamed: fc.Arbitrary<number | undefined>): fc.Arbitrary<Message> =>
  fc.oneof(
    fc.record({ kind: fc.constant('begin' as const), commitLsn: wal, atUs, xid }),
    fc.record({ kind: fc.constant('commit' as const), commitLsn: wal, endLsn: wal, atUs }),
    fc.record({ kind: fc.constant('origin' as const), lsn: wal, name }),
    fc.record({
      kind: fc.constant('relation' as const),
      xid: streamed,
      oid: u32,
      schema,
      name,
      identity: fc.constantFrom('default' as const, 'nothing' as const, 'full' as const, 'index' as const),
      columns: fc.array(
        fc.record({
          name,
          key: fc.boolean(),
          type: u32,
          modifier: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        }),
        { maxLength: 6 },
      ),
    }),
    fc.record({ kind: fc.constant('type' as const), xid: streamed, oid: u32, schema, name }),
    fc.record({
      kind: fc.constant('truncate' as const),
      xid: streamed,
      cascade: fc.boolean(),
      restartIdentity: fc.boolean(),
      relations: fc.array(u32, { maxLength: 5 }),
    }),
    fc.record({
      kind: fc.constant('message' as const),
      xid: streamed,
      transactional: fc.boolean(),
      lsn: wal,
      prefix: name,
      content: content.map((bytes) => Buffer.from(bytes)),
    }),
    fc.record({ kind: fc.constant('stream-start' as const), xid, first: fc.boolean() }),
    fc.constant({ kind: 'stream-stop' as const }),
    fc.record({ kind: fc.constant('stream-commit' as const), xid, commitLsn: wal, endLsn: wal, atUs }),
    fc.record({
      kind: fc.constant('stream-abort' as const),
      xid,
      subxid: u32,
      lsn: fc.constant(undefined),
      atUs: fc.constant(undefined),
    }),
    fc.record({ kind: fc.constant('stream-abort' as const), xid, subxid: u32, lsn: wal, atUs }),
    fc.record({ kind: fc.constant('begin-prepare' as const), ...prepared }),
    fc.record({ kind: fc.constant('prepare' as const), ...prepared }),
    fc.record({ kind: fc.constant('commit-prepared' as const), ...prepared }),
    fc.record({ kind: fc.constant('stream-prepare' as const), ...prepared }),
    fc.record({
      kind: fc.constant('rollback-prepared' as const),
      prepareEndLsn: wal,
      endLsn: wal,
      preparedUs: atUs,
      atUs,
      xid,
      gid,
    }),
  );

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.constant('unchanged' as const),
  fc.record({ text: name }),
  fc.record({ binary: content }),
);
const values = fc.array(value, { maxLength: 8 });
const old = fc.record({ part: fc.constantFrom('K' as const, 'O' as const), values });
const rows: fc.Arbitrary<Row> = fc.oneof(
  fc.record({ tag: fc.constant('I' as const), relation: u32, values }),
  fc.record({
    tag: fc.constant('U' as const),
    relation: u32,
    values,
    old: fc.option(old, { nil: undefined }),
  }),
  fc.record({ tag: fc.constant('D' as const), relation: u32, old }),
);

function valuesOf(tuple: Tuple, bytes: Uint8Array): Value[] {
  return Array.from({ length: tuple.count }, (_, column): Value => {
    const slice = bytes.subarray(tuple.starts[column], tuple.ends[column]);
    const kind = String.fromCharCode(tuple.kinds[column]!);
    if (kind === 'n') return null;
    if (kind === 'u') return 'unchanged';
    return kind === 't' ? { text: Buffer.from(slice).toString() } : { binary: Uint8Array.from(slice) };
  });
}

/** What a cursor says of a row's message. */
function readRow(bytes: Uint8Array, start: number, end: number, streamed: boolean): Row {
  const cursor = new RowChange();
  cursor.read(bytes, start, end, streamed);
  return {
    tag: String.fromCharCode(cursor.tag) as Row['tag'],
    relation: cursor.relation,
    ...(cursor.old
      ? {
          old: { part: String.fromCharCode(cursor.old) as 'K' | 'O', values: valuesOf(cursor.before, bytes) },
        }
      : {}),
    ...(cursor.tag === 0x44 ? {} : { values: valuesOf(cursor.after, bytes) }),
  };
}

/** True if it threw the typed error; anything else that it throws is thrown on. */
function refuses(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (isFailure(error, 'PGOUTPUT_MALFORMED')) return true;
    throw error;
  }
}

describe('the decoder of pgoutput', () => {
  test('reads every message as the protocol writes it, inside a stream and outside', () => {
    fc.assert(
      fc.property(messages(fc.constant(undefined)), (message) => {
        expect(decodeMessage(messageBytes(message))).toEqual(message);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(messages(xid), (message) => {
        expect(decodeMessage(messageBytes(message), true)).toEqual(message);
      }),
      { numRuns: 300 },
    );
  });

  test('reads every row in place, wherever in a buffer it lies', () => {
    fc.assert(
      fc.property(rows, fc.nat(9), fc.option(xid, { nil: undefined }), (row, offset, number) => {
        const bytes = rowBytes({ ...row, xid: number });
        const buffer = Buffer.concat([Buffer.alloc(offset, 0x7a), bytes, Buffer.from('zzzz')]);
        const { old, ...rest } = row;
        expect(readRow(buffer, offset, offset + bytes.length, number !== undefined)).toEqual(
          old === undefined ? rest : row,
        );
      }),
      { numRuns: 500 },
    );
  });

  test('refuses every truncation and every surplus', () => {
    fc.assert(
      fc.property(messages(fc.constant(undefined)), (message) => {
        const bytes = messageBytes(message);
        for (let end = 0; end < bytes.length; end += 1) {
          const cut = bytes.subarray(0, end);
          // A stream abort has a short form that is a truncation of the long one.
          if (message.kind === 'stream-abort' && end === 9) continue;
          expect(refuses(() => decodeMessage(cut))).toBe(true);
        }
        expect(refuses(() => decodeMessage(Buffer.concat([bytes, Buffer.alloc(1)])))).toBe(true);
      }),
      { numRuns: 100 },
    );
    fc.assert(
      fc.property(rows, (row) => {
        const bytes = Buffer.concat([rowBytes(row), Buffer.alloc(8)]);
        for (let end = 0; end <= bytes.length; end += 1) {
          const whole = end === bytes.length - 8;
          expect(refuses(() => readRow(bytes, 0, end, false))).toBe(!whole);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('fails in no other way than by its error, whatever the bytes', () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .tuple(fc.constantFrom(...'BCORYIUDTMSEcAbPKrp'), fc.uint8Array({ maxLength: 200 }))
        .map(([tag, rest]) => Buffer.concat([Buffer.from(tag), rest])),
      fc
        .tuple(
          fc.oneof(rows.map(rowBytes), messages(fc.constant(undefined)).map(messageBytes)),
          fc.nat(),
          fc.nat(255),
        )
        .map(([bytes, at, byte]) => {
          bytes[at % bytes.length] = byte;
          return bytes;
        }),
    );
    fc.assert(
      fc.property(hostile, fc.boolean(), (bytes, streamed) => {
        refuses(() => decodeMessage(bytes, streamed));
        refuses(() => readRow(bytes, 0, bytes.length, streamed));
      }),
      { numRuns: 3000 },
    );
  });

  test('allocates nothing by what a count claims', () => {
    const truncate = Buffer.from('54ffffffff00', 'hex');
    const relation = Buffer.from('52000000016100620064ffff', 'hex');
    const row = Buffer.from('49000000014e06816e', 'hex');
    for (const read of [
      () => decodeMessage(truncate),
      () => decodeMessage(relation),
      () => readRow(row, 0, row.length, false),
    ]) {
      expect(read).toThrow('PGOUTPUT_MALFORMED');
    }
  });
});
