import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BANK_SCHEMA } from '#lib/local/demo/bank.ts';
import { changeStatement, DOCUMENTS_SCHEMA, OPEN_DOCUMENTS } from '#lib/local/demo/documents.ts';
import { BankStore } from '#lib/local/drill/stores/bank-store.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

let postgres: TestPostgres;
let client: pg.Client;
beforeAll(async () => {
  postgres = await startTestPostgres();
  client = await postgres.connect(await postgres.createDatabase());
  await client.query(`${BANK_SCHEMA}; ${DOCUMENTS_SCHEMA}; ${OPEN_DOCUMENTS}`);
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

const change = (document: number, reference: string) =>
  client.query(changeStatement({ document, reference }));
const documentOf = async (id: number) => {
  const { rows } = await client.query(
    'SELECT version, writes, pg_column_toast_chunk_id(body)::text AS body FROM demo_bank.documents WHERE id = $1',
    [id],
  );
  return rows[0] as { readonly version: number; readonly writes: readonly string[]; readonly body: string };
};

test('a change that is made a second time changes nothing', async () => {
  await change(1, 'write#1');
  await change(1, 'write#2');
  await change(1, 'write#1');
  expect(await documentOf(1)).toMatchObject({ version: 2, writes: ['write#1', 'write#2'] });
});

test('the long text is out of line, and most changes leave it where it is', async () => {
  const bodies: string[] = [];
  for (let n = 0; n < 8; n += 1) {
    await change(2, `write#${n}`);
    bodies.push((await documentOf(2)).body);
  }
  expect(bodies[0]).toMatch(/^\d+$/);
  expect(new Set(bodies.slice(0, 7)).size).toBe(1);
  expect(bodies[7]).not.toBe(bodies[0]);
});

test('the writes that a divergent change has made are told by its row', () => {
  const store = new BankStore({});
  const after = { id: '1', writes: '{write#4,write#16}', reference: null };
  expect(store.writeIdsOf({ table: 'demo_bank.documents', after })).toEqual(['write#4', 'write#16']);
  expect(store.writeIdsOf({ table: 'demo_bank.transfers', after: { reference: 'write#7' } })).toEqual([
    'write#7',
  ]);
  expect(store.writeIdsOf({ table: 'shop.item', after: { reference: 'write#7' } })).toEqual([]);
  expect(store.writeIdsOf({ table: 'demo_bank.documents', after: null })).toEqual([]);
});
