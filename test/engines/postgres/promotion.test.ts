import { afterAll, beforeAll, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { LSN_ZERO, parseEpoch } from '#lib/domain/lsn.ts';
import { type PostgresChange, readChanges } from '#lib/engines/postgres/divergent-change.ts';
import { tellChanges } from '#lib/engines/postgres/tell-changes.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { E1, GROUP } from '../../support/log-history.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { AWAY } from '../../support/postgres-follower.ts';
import { HOME, PostgresLeader } from '../../support/postgres-leader.ts';

const E2 = parseEpoch(2);
const WRITERS = 6;
const WRITES = 40;
let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
}, 60_000);
afterAll(() => postgres?.[Symbol.asyncDispose]());

test.each([0, 1, 2, 3])(
  'the cut of a promotion under load, time %i: what was applied is not logged again, and each write since is logged once',
  async (time) => {
    const log = new MemoryLog(GROUP);
    const database = await PostgresLeader.start(postgres, 'CREATE TABLE writes (name text PRIMARY KEY)', log);
    const control = new MemoryControl(HOME);
    await control.nameLeader({ leader: AWAY, epoch: E1 });
    const deps = { ...database.deps(log), control };

    // The function's ticks, one after the other: at a follower it looks and leaves, at the leader it stays.
    const stopped = new AbortController();
    const ticks = (async () => {
      while (!stopped.signal.aborted) {
        const { epoch, leader } = await control.role();
        const source = database.source(leader === HOME ? 'streamed' : 'polled', epoch);
        await captureSource(deps, LANE_0, source, stopped.signal);
      }
    })();

    const applier = await postgres.connect(database.url);
    const origin = `applied_${time}`;
    await applier.query('SELECT pg_replication_origin_create($1)', [origin]);
    await applier.query('SELECT pg_replication_origin_session_setup($1)', [origin]);
    for (let n = 0; n < 100 + 25 * time; n++)
      await applier.query('INSERT INTO writes VALUES ($1)', [`applied ${n}`]);

    await control.nameLeader({ leader: HOME, epoch: E2 });
    const names: string[] = [];
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => {
        const client = await postgres.connect(database.url);
        for (let n = 0; n < WRITES; n++) {
          const name = `write ${writer} ${n}`;
          await client.query('INSERT INTO writes VALUES ($1)', [name]);
          names.push(name);
        }
        await client.end();
      }),
    );
    const { rows } = await database.client.query('SELECT pg_current_wal_insert_lsn() AS end');
    while (!(await database.isConfirmed(rows[0].end))) await new Promise(setImmediate);
    stopped.abort();
    await ticks;

    const changes: PostgresChange[] = [];
    for (const entry of await log.entries(LANE_0, LSN_ZERO, 10_000)) {
      expect(entry.epoch).toBe(E2);
      changes.push(...readChanges(await log.getSegment(entry), entry));
    }
    const logged = (await tellChanges(database.client, changes)).map(({ after }) => String(after!.name));
    expect(logged.toSorted()).toEqual(names.toSorted());
  },
);
