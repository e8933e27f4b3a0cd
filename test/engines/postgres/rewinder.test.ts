import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { divided, expectFollows, type Story, TAIL } from '../../support/divided-databases.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { PostgresGroup } from '../../support/postgres-group.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

describe('a former leader that comes back', () => {
  test.each<readonly [string, Story]>([
    ['a tail that its log has', { captured: TAIL }],
    ['writes that no log has', { uncaptured: TAIL }],
    ['both', { captured: TAIL.slice(0, 4), uncaptured: TAIL.slice(4) }],
    [
      'both, where the new leader has taken nothing',
      { captured: TAIL.slice(0, 5), uncaptured: TAIL.slice(5), onward: [] },
    ],
    [
      'tables that were emptied',
      {
        captured: ['TRUNCATE entry, account'],
        uncaptured: ['TRUNCATE pile, part', `INSERT INTO account VALUES (1, 'o2', 3)`],
      },
    ],
    ['nothing that the others lack', {}],
  ])('with %s: what it has is in the report, and it holds what the leader does', async (_, story) => {
    const group = await divided(postgres, story);
    const before = await group.at(EU).contents();
    const result = await group.reattach(EU);
    const lines = await group.at(EU).report(E1);
    expect(result).toEqual({ kind: 'attached', divergent: lines.length });
    // Run where both had parted, the report's statements make what was here.
    await group
      .at(AP)
      .sql(`SET session_replication_role = replica; ${lines.map(({ sql }) => sql).join(';\n')}`);
    expect(await group.at(AP).contents()).toEqual(before);
    await expectFollows(group);
  });
});

test('a report tells each change as a statement, with the row before and after, by transaction', async () => {
  const schema = `
    CREATE TYPE "Mood" AS ENUM ('it''s fine');
    CREATE TABLE "Select" (id int PRIMARY KEY, "Big" numeric(20, 5), at timestamptz, f float8, ok bool, b bytea, j jsonb, a text[], m "Mood", iv interval);
    CREATE TABLE bag (j json, t text); ALTER TABLE bag REPLICA IDENTITY FULL`;
  const group = await PostgresGroup.start(postgres, schema, [EU, US]);
  const eu = group.at(EU);
  await eu.sql(`INSERT INTO bag VALUES ('{}', 'common')`);
  await eu.capture();
  await group.follow(EU, US);
  await eu.sql(`SET timezone = 'Asia/Tokyo'; BEGIN;
    INSERT INTO "Select" VALUES (1, 1e10, '2026-01-02 03:04:05.678901+00', 0.1, true, '\\x00ff', '{"a": "b''c"}', '{NULL,"x y"}', 'it''s fine', '1 mon 2 days');
    UPDATE "Select" SET id = -2, f = 'NaN', at = NULL; COMMIT`);
  await eu.sql(`BEGIN; INSERT INTO bag VALUES ('{"a":1}', NULL); UPDATE bag SET t = E'line\nline' WHERE t IS NULL; DELETE FROM bag WHERE t <> 'common';
    SELECT pg_logical_emit_message(true, 'outbox', 'hello'); TRUNCATE "Select" RESTART IDENTITY; COMMIT`);
  await group.promote(US, E2);
  expect(await group.reattach(EU)).toMatchObject({ kind: 'attached' });
  const lines = await eu.report(E1);
  const bag = `ctid = (SELECT ctid FROM public.bag WHERE j::text = '{"a":1}' AND t`;
  expect(lines.map(({ sql }) => sql)).toEqual([
    `INSERT INTO public."Select" (id, "Big", at, f, ok, b, j, a, m, iv) VALUES (1, 10000000000.00000, '2026-01-02 03:04:05.678901+00', 0.1, true, E'\\\\x00ff', '{"a": "b''c"}', '{NULL,"x y"}', 'it''s fine', '1 mon 2 days')`,
    `UPDATE public."Select" SET id = -2, "Big" = 10000000000.00000, at = NULL, f = 'NaN', ok = true, b = E'\\\\x00ff', j = '{"a": "b''c"}', a = '{NULL,"x y"}', m = 'it''s fine', iv = '1 mon 2 days' WHERE id = 1`,
    `INSERT INTO public.bag (j, t) VALUES ('{"a":1}', NULL)`,
    `UPDATE public.bag SET t = 'line\nline' WHERE ${bag} IS NULL LIMIT 1)`,
    `DELETE FROM public.bag WHERE ${bag} = 'line\nline' LIMIT 1)`,
    `SELECT pg_logical_emit_message(true, 'outbox', 'hello')`,
    `TRUNCATE public."Select" RESTART IDENTITY`,
  ]);
  const [first, second, third] = lines;
  expect([first!.transaction, second!.key, second!.before]).toEqual([
    second!.transaction,
    { id: '1' },
    { id: '1' },
  ]);
  expect(third!.transaction).not.toBe(first!.transaction);
  expect(first!.after).toMatchObject({ id: '1', ok: 'true', b: '\\x00ff', m: "it's fine" });
  expect([first!.lsn, first!.before]).toEqual([null, null]);
});
