import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
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

const SCHEMA = `
  CREATE TYPE mood AS ENUM ('sad', 'glad');
  CREATE TABLE account (id int PRIMARY KEY, owner text UNIQUE, balance numeric NOT NULL, note text, mood mood);
  ALTER TABLE account ALTER note SET STORAGE EXTERNAL;
  CREATE TABLE entry (account int REFERENCES account ON UPDATE CASCADE ON DELETE CASCADE, nr int, amount numeric, PRIMARY KEY (account, nr));
  CREATE TABLE "Order" (id uuid PRIMARY KEY, at timestamptz, body jsonb, tags text[], bin bytea);
  ALTER TABLE "Order" REPLICA IDENTITY FULL;
  CREATE TABLE pile (a int, b text); ALTER TABLE pile REPLICA IDENTITY FULL;
  CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
  CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (MINVALUE) TO (20);
  CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (20) TO (MAXVALUE);
  CREATE TABLE still (id int PRIMARY KEY, v text);
  CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, y int GENERATED ALWAYS AS (x * 2) STORED)`;

const FILL = `
  INSERT INTO account SELECT n, 'o' || n, 100, repeat('x', 3000), 'sad' FROM generate_series(1, 30) n;
  INSERT INTO entry SELECT n, 1, 100 FROM generate_series(1, 30) n;
  INSERT INTO "Order" SELECT gen_random_uuid(), now(), '{"n": 1}', '{a}', '\\x00ff' FROM generate_series(1, 5);
  INSERT INTO pile SELECT n % 2, 'b' FROM generate_series(1, 5) n;
  INSERT INTO part SELECT n, 'v' FROM generate_series(1, 40) n; INSERT INTO still SELECT n, 'v' FROM generate_series(1, 10) n;
  INSERT INTO made (x) SELECT n FROM generate_series(1, 5) n`;

/** What the old leader takes that nobody else gets, transaction by transaction. */
const TAIL = [
  `UPDATE account SET balance = balance - 10 WHERE id = 1; UPDATE account SET balance = balance + 10 WHERE id = 2;
   INSERT INTO entry VALUES (1, 2, -10), (2, 2, 10)`,
  `INSERT INTO account VALUES (101, 'new', 5, NULL, 'glad'); INSERT INTO entry VALUES (101, 1, 5)`,
  `UPDATE account SET owner = 'free' WHERE id = 3; UPDATE account SET owner = 'o3' WHERE id = 4; UPDATE account SET owner = 'o4' WHERE id = 3`,
  `DELETE FROM account WHERE id = 5`,
  `UPDATE account SET id = 206 WHERE id = 6; UPDATE account SET id = id + 300 WHERE id IN (7, 206)`,
  `UPDATE "Order" SET body = body || '{"z": null}', tags = array_append(tags, 'it''s "\\"') WHERE true`,
  `INSERT INTO pile VALUES (7, NULL); DELETE FROM pile WHERE a = 0`,
  `UPDATE part SET id = 60 - id WHERE id < 5; DELETE FROM part WHERE id = 30`,
  `INSERT INTO made (x) VALUES (50); UPDATE made SET x = 9 WHERE id = 1`,
  `UPDATE account SET note = repeat('y', 3000) WHERE id = 8; UPDATE account SET note = NULL WHERE id = 9`,
];

/** What the new leader takes, of the same rows and of others. */
const ONWARD = [
  `UPDATE account SET balance = balance - 7 WHERE id = 1; UPDATE account SET balance = balance + 7 WHERE id = 20; INSERT INTO entry VALUES (1, 2, -7), (20, 2, 7)`,
  `UPDATE account SET owner = 'x' WHERE id IN (10); UPDATE account SET owner = 'o10' WHERE id = 3; UPDATE account SET owner = 'o3' WHERE id = 10`,
  `INSERT INTO account VALUES (101, 'another', 1, 'n', 'sad'), (102, 'free', 2, 'n', 'sad'); UPDATE account SET id = 7000 WHERE id = 7; UPDATE account SET id = 7 WHERE id = 11`,
  `DELETE FROM account WHERE id IN (5, 12); UPDATE account SET id = 206 WHERE id = 13`,
  `INSERT INTO pile VALUES (0, 'c'); UPDATE part SET id = 57 WHERE id = 39; UPDATE made SET x = 3 WHERE id < 3; UPDATE still SET v = 'w' WHERE id < 4`,
  `UPDATE account SET balance = 1 WHERE id IN (8, 9)`,
];

type Story = {
  readonly captured?: readonly string[];
  readonly uncaptured?: readonly string[];
  readonly onward?: readonly string[];
};

async function run(
  group: PostgresGroup,
  name: typeof EU,
  transactions: readonly string[] = [],
): Promise<void> {
  for (const each of transactions) await group.at(name).sql(`BEGIN; ${each}; COMMIT`);
}

/** US leads now, EU comes back, and AP is what both had in common. */
async function divided({ captured = [], uncaptured = [], onward = ONWARD }: Story): Promise<PostgresGroup> {
  const group = await PostgresGroup.start(postgres, SCHEMA, [EU, US, AP]);
  await run(group, EU, [FILL]);
  await group.at(EU).capture();
  await group.follow(EU, US, AP);
  await run(group, EU, captured);
  await group.at(EU).capture();
  await run(group, EU, uncaptured);
  await group.promote(US, E2);
  await run(group, US, onward);
  return group;
}

async function expectFollows(group: PostgresGroup): Promise<void> {
  for (const transaction of [`UPDATE account SET balance = balance + 1`, `DELETE FROM part WHERE id = 8`]) {
    await run(group, US, [transaction]);
    await group.at(US).capture();
    await group.follow(US, EU);
    expect(await group.at(EU).contents()).toEqual(await group.at(US).contents());
    expect(await group.differences(US, EU)).toEqual([]);
  }
  const [own, leader] = await Promise.all([EU, US].map((name) => group.at(name).log.head(LANE_0)));
  expect(own!.chain).toBe(leader!.chain);
  // What was put back is no change of its own.
  await group.at(EU).capture();
  expect(group.at(EU).telemetry.metric('LocalWritesAtFollower')).toBeUndefined();
}

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
    const group = await divided(story);
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
