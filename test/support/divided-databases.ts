import { expect } from 'vitest';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { E2 } from './log-history.ts';
import { AP, EU, US } from './memory-group.ts';
import type { TestPostgres } from './postgres.ts';
import { PostgresGroup } from './postgres-group.ts';

export const BOOKS_SCHEMA = `
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

export const FILL = `
  INSERT INTO account SELECT n, 'o' || n, 100, repeat('x', 3000), 'sad' FROM generate_series(1, 30) n;
  INSERT INTO entry SELECT n, 1, 100 FROM generate_series(1, 30) n;
  INSERT INTO "Order" SELECT gen_random_uuid(), now(), '{"n": 1}', '{a}', '\\x00ff' FROM generate_series(1, 5);
  INSERT INTO pile SELECT n % 2, 'b' FROM generate_series(1, 5) n;
  INSERT INTO part SELECT n, 'v' FROM generate_series(1, 40) n; INSERT INTO still SELECT n, 'v' FROM generate_series(1, 10) n;
  INSERT INTO made (x) SELECT n FROM generate_series(1, 5) n`;

/** What the old leader takes that nobody else gets, transaction by transaction. */
export const TAIL = [
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
export const ONWARD = [
  `UPDATE account SET balance = balance - 7 WHERE id = 1; UPDATE account SET balance = balance + 7 WHERE id = 20; INSERT INTO entry VALUES (1, 2, -7), (20, 2, 7)`,
  `UPDATE account SET owner = 'x' WHERE id IN (10); UPDATE account SET owner = 'o10' WHERE id = 3; UPDATE account SET owner = 'o3' WHERE id = 10`,
  `INSERT INTO account VALUES (101, 'another', 1, 'n', 'sad'), (102, 'free', 2, 'n', 'sad'); UPDATE account SET id = 7000 WHERE id = 7; UPDATE account SET id = 7 WHERE id = 11`,
  `DELETE FROM account WHERE id IN (5, 12); UPDATE account SET id = 206 WHERE id = 13`,
  `INSERT INTO pile VALUES (0, 'c'); UPDATE part SET id = 57 WHERE id = 39; UPDATE made SET x = 3 WHERE id < 3; UPDATE still SET v = 'w' WHERE id < 4`,
  `UPDATE account SET balance = 1 WHERE id IN (8, 9)`,
];

export type Story = {
  readonly captured?: readonly string[];
  readonly uncaptured?: readonly string[];
  readonly onward?: readonly string[];
};

export async function run(
  group: PostgresGroup,
  name: RegionId,
  transactions: readonly string[] = [],
): Promise<void> {
  for (const each of transactions) await group.at(name).sql(`BEGIN; ${each}; COMMIT`);
}

/** US leads now, EU comes back, and AP is what both had in common. */
export async function divided(
  postgres: TestPostgres,
  { captured = [], uncaptured = [], onward = ONWARD }: Story,
  meanwhile: (group: PostgresGroup) => Promise<void> = async () => {},
): Promise<PostgresGroup> {
  const group = await PostgresGroup.start(postgres, BOOKS_SCHEMA, [EU, US, AP]);
  await run(group, EU, [FILL]);
  await group.at(EU).capture();
  await group.follow(EU, US, AP);
  await run(group, EU, captured);
  if (captured.length > 0) await group.at(EU).capture();
  await run(group, EU, uncaptured);
  await meanwhile(group);
  await group.promote(US, E2);
  await run(group, US, onward);
  return group;
}

/** A Region follows the leader by the ordinary means, to the end, and both hold the same. */
export async function expectFollows(group: PostgresGroup, leader = US, follower = EU): Promise<void> {
  for (const transaction of [`UPDATE account SET balance = balance + 1`, `DELETE FROM part WHERE id = 8`]) {
    await run(group, leader, [transaction]);
    await group.at(leader).capture();
    await group.follow(leader, follower);
    expect(await group.at(follower).contents()).toEqual(await group.at(leader).contents());
    expect(await group.differences(leader, follower)).toEqual([]);
  }
  const [own, theirs] = [group.at(follower), group.at(leader)];
  expect((await own.log.head(LANE_0)).chain).toBe((await theirs.log.head(LANE_0)).chain);
  // What was put back is no change of its own.
  await own.capture();
  expect(own.telemetry.metric('LocalWritesAtFollower')).toBeUndefined();
}
