import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeMessage, type Message } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { RowChange } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { messageBytes } from '../../support/pgoutput-bytes.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

let postgres: TestPostgres;
let client: pg.Client;
let url: string;

beforeAll(async () => {
  postgres = await startTestPostgres({
    max_prepared_transactions: 5,
    logical_decoding_work_mem: '64kB',
    debug_logical_replication_streaming: 'immediate',
  });
  url = await postgres.createDatabase();
  client = await postgres.connect(url);
  await client.query(`
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE t (id int PRIMARY KEY, v text, m mood, n numeric(10,2));
    ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
    CREATE TABLE full_row (a int, b text);
    ALTER TABLE full_row REPLICA IDENTITY FULL;
    CREATE PUBLICATION p FOR ALL TABLES`);
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

type Row = { tag: string; relation: number; old: string; before: string[]; after: string[] };

/** What a slot holds, decoded; every message is written again and compared with the server's bytes. */
async function decoded(slot: string, options: string): Promise<(Message | Row)[]> {
  const { rows } = await client.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes('${slot}', NULL, NULL, 'publication_names', 'p', ${options})`,
  );
  const cursor = new RowChange();
  let streamed = false;
  return rows.map(({ data }) => {
    const tag = String.fromCharCode(data[0]!);
    if ('IUD'.includes(tag)) {
      cursor.read(data, 0, data.length, streamed);
      const values = ({ count, kinds, starts, ends }: RowChange['after']) =>
        Array.from({ length: count }, (_, i) => {
          const kind = String.fromCharCode(kinds[i]!);
          const text = data.subarray(starts[i], ends[i]).toString();
          return text.length > 20 ? `${kind}…${text.length}` : `${kind}${text}`;
        });
      return {
        tag,
        relation: cursor.relation,
        old: cursor.old === 0 ? '' : String.fromCharCode(cursor.old),
        before: cursor.old === 0 ? [] : values(cursor.before),
        after: tag === 'D' ? [] : values(cursor.after),
      };
    }
    const message = decodeMessage(data, streamed);
    if (message.kind === 'stream-start') streamed = true;
    if (message.kind === 'stream-stop') streamed = false;
    const isCatalog = message.kind === 'relation' && message.schema === 'pg_catalog';
    if (!isCatalog) expect(messageBytes(message).toString('hex')).toBe(data.toString('hex'));
    return message;
  });
}

const shape = (of: Message | Row) => ('tag' in of ? [of.tag, of.old, ...of.before, ...of.after] : [of.kind]);

describe('the bytes of a real server', () => {
  test('decode to what was done: rows, keys, oversized values, truncate, messages', async () => {
    await client.query(`SELECT pg_create_logical_replication_slot('plain', 'pgoutput')`);
    await client.query(`
      BEGIN;
      INSERT INTO t VALUES (1, repeat('x', 9000), 'glad', 1.50), (2, NULL, 'sad', NULL);
      SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s;
      UPDATE t SET m = 'sad' WHERE id = 1;
      UPDATE t SET id = 7 WHERE id = 2;
      DELETE FROM t WHERE id = 7;
      INSERT INTO full_row VALUES (1, 'b'); UPDATE full_row SET a = 2; DELETE FROM full_row;
      SELECT pg_logical_emit_message(true, 'prefix', 'content');
      COMMIT`);
    await client.query('TRUNCATE t, full_row RESTART IDENTITY CASCADE');
    const all = await decoded('plain', `'proto_version', '1', 'messages', 'true'`);
    expect(all.map(shape)).toEqual([
      ['begin'],
      ['type'],
      ['relation'],
      ['I', '', 't1', 't…9000', 'tglad', 't1.50'],
      ['I', '', 't2', 'n', 'tsad', 'n'],
      ['U', '', 't1', 'u', 'tsad', 't1.50'],
      ['U', 'K', 't2', 'n', 'n', 'n', 't7', 'n', 'tsad', 'n'],
      ['D', 'K', 't7', 'n', 'n', 'n'],
      ['relation'],
      ['I', '', 't1', 'tb'],
      ['U', 'O', 't1', 'tb', 't2', 'tb'],
      ['D', 'O', 't2', 'tb'],
      ['message'],
      ['commit'],
      ['begin'],
      ['type'],
      ['relation'],
      ['relation'],
      ['truncate'],
      ['commit'],
    ]);
    const [begin, type, relation] = all;
    const now = BigInt(Date.now()) * 1000n;
    expect(begin).toMatchObject({ kind: 'begin', xid: expect.any(Number) });
    expect((begin as { atUs: bigint }).atUs).toBeGreaterThan(now - 60_000_000n);
    expect((begin as { atUs: bigint }).atUs).toBeLessThanOrEqual(now);
    expect(type).toMatchObject({ schema: 'public', name: 'mood' });
    expect(relation).toMatchObject({
      schema: 'public',
      name: 't',
      identity: 'default',
      columns: [
        { name: 'id', key: true, type: 23, modifier: -1 },
        { name: 'v', key: false, type: 25, modifier: -1 },
        { name: 'm', key: false, type: (type as { oid: number }).oid, modifier: -1 },
        { name: 'n', key: false, type: 1700, modifier: (10 << 16) + 2 + 4 },
      ],
    });
    expect(all.find((of) => 'kind' in of && of.kind === 'message')).toMatchObject({
      transactional: true,
      prefix: 'prefix',
      content: Buffer.from('content'),
    });
    expect(all.find((of) => 'kind' in of && of.kind === 'truncate')).toMatchObject({
      cascade: true,
      restartIdentity: true,
    });
  });

  test('decode where transactions are streamed, with a subtransaction and a transaction undone', async () => {
    await client.query(`SELECT pg_create_logical_replication_slot('streamed', 'pgoutput')`);
    await client.query(`
      BEGIN; INSERT INTO t VALUES (10, 'a'); SAVEPOINT s; INSERT INTO t VALUES (11, 'b'); ROLLBACK TO s;
      INSERT INTO t VALUES (12, 'c'); COMMIT`);
    await client.query(`BEGIN; INSERT INTO t VALUES (13, 'd'); ROLLBACK`);
    for (const streaming of ['on', 'parallel']) {
      const slot = `streamed_${streaming}`;
      await client.query(`SELECT pg_copy_logical_replication_slot('streamed', '${slot}')`);
      const all = await decoded(slot, `'proto_version', '4', 'streaming', '${streaming}'`);
      const kinds = all.map((of) => shape(of)[0]);
      // The server leaves out what it knows to be undone when it gets there.
      expect(kinds.filter((kind) => kind === 'I').length).toBeGreaterThanOrEqual(3);
      expect(kinds).toEqual(expect.arrayContaining(['stream-start', 'stream-stop', 'stream-commit']));
      const aborts = all.flatMap((of) => ('kind' in of && of.kind === 'stream-abort' ? [of] : []));
      expect(aborts.some(({ xid, subxid }) => xid !== subxid)).toBe(true);
      for (const { lsn, atUs } of aborts) {
        expect([typeof lsn, typeof atUs]).toEqual(
          streaming === 'parallel' ? ['bigint', 'bigint'] : ['undefined', 'undefined'],
        );
      }
    }
  });

  test('decode where transactions are prepared, committed and rolled back, streamed or whole', async () => {
    for (const slot of ['two', 'two_streamed']) {
      await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput', false, true)`);
    }
    for (const [id, end] of [
      [20, 'COMMIT'],
      [21, 'ROLLBACK'],
    ]) {
      await client.query(`BEGIN; INSERT INTO t VALUES (${id}); PREPARE TRANSACTION 'g${id}'`);
      await client.query(`${end} PREPARED 'g${id}'`);
    }
    const whole = await decoded('two', `'proto_version', '3'`);
    expect(whole.flatMap((of) => shape(of)[0])).toEqual(
      ['begin-prepare', 'type', 'relation', 'I', 'prepare', 'commit-prepared'].concat([
        'begin-prepare',
        'I',
        'prepare',
        'rollback-prepared',
      ]),
    );
    expect(whole[0]).toMatchObject({ gid: 'g20' });
    const streamed = await decoded('two_streamed', `'proto_version', '4', 'streaming', 'on'`);
    expect(streamed.flatMap((of) => shape(of)[0])).toEqual(
      expect.arrayContaining(['stream-start', 'stream-prepare', 'commit-prepared', 'rollback-prepared']),
    );
  });

  test('decode the origin that a session has named', async () => {
    await client.query(`SELECT pg_create_logical_replication_slot('origin', 'pgoutput')`);
    await client.query(`SELECT pg_replication_origin_create('elsewhere')`);
    const other = await postgres.connect(url);
    await other.query(`SELECT pg_replication_origin_session_setup('elsewhere')`);
    await other.query(`INSERT INTO t VALUES (30)`);
    await other.end();
    await client.query(`SELECT pg_copy_logical_replication_slot('origin', 'origin_none')`);
    expect((await decoded('origin', `'proto_version', '4'`)).slice(0, 2)).toMatchObject([
      { kind: 'begin' },
      { kind: 'origin', name: 'elsewhere' },
    ]);
    expect(await decoded('origin_none', `'proto_version', '4', 'origin', 'none'`)).toEqual([]);
  });
});
