import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { PolledSlot } from '#lib/engines/postgres/polled-slot.ts';
import { capture } from '#lib/usecases/capture.ts';
import { type Reattached, reattach } from '#lib/usecases/control/reattach.ts';
import { CrashAt } from '../../support/crash-at.ts';
import { divided, expectFollows, ONWARD, run, TAIL } from '../../support/divided-databases.ts';
import { E1, E2, E3 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import type { PostgresGroup } from '../../support/postgres-group.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  // Three slots and origins for each group.
  postgres = await startTestPostgres({ max_replication_slots: 100, max_active_replication_origins: 100 });
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

const BIG = `INSERT INTO still SELECT n, repeat('z', 2000) FROM generate_series(1000, 8999) n`;

/** A leader that dies in the middle of a large transaction: so many of its segments are in its log by then. */
async function captureSome(group: PostgresGroup, segments: number): Promise<void> {
  const { captureDeps, slotDeps, shard } = await group.at(EU).captureParts();
  let left = segments;
  for await (const { records } of new PolledSlot(slotDeps).batches(new AbortController().signal)) {
    await capture(captureDeps, LANE_0, shard, records);
    left -= 1;
    if (left === 0) break;
  }
}

describe('a former leader whose way back breaks off', () => {
  test('goes on wherever it was: each time it holds what it did, or what the leader does', async () => {
    const group = await divided(postgres, { captured: TAIL.slice(0, 5), uncaptured: TAIL.slice(5) });
    const before = await group.at(EU).contents();
    const after = await group.at(US).contents();
    let result: Reattached | undefined;
    let crashes = 0;
    let changed = 0;
    for (let awaits = 1; result === undefined; awaits += 5) {
      const crash = new CrashAt(awaits);
      result = await group.reattach(EU, crash).catch((error: unknown) => {
        if (crash.survived) throw error;
        return undefined;
      });
      crashes += result === undefined ? 1 : 0;
      const now = await group.at(EU).contents();
      if (JSON.stringify(now) === JSON.stringify(before)) continue;
      expect(now).toEqual(after);
      changed += 1;
      expect(await group.at(EU).report(E1)).toHaveLength(38);
    }
    expect(crashes).toBeGreaterThan(15);
    expect(changed).toBeGreaterThan(1);
    expect(result.kind).toBe('attached');
    await expectFollows(group);
  });

  test('finds what was written after its report, and changes nothing before that is in it, too', async () => {
    const group = await divided(postgres, { captured: TAIL.slice(0, 2) });
    const { divergences } = group.at(EU);
    const save = divergences.save.bind(divergences);
    let late = [`UPDATE still SET v = 'late' WHERE id = 9`, `INSERT INTO pile VALUES (8, 'later')`];
    divergences.save = async (...given) => {
      await save(...given);
      await run(group, EU, late.slice(0, 1));
      late = late.slice(1);
    };
    expect((await group.reattach(EU)).kind).toBe('attached');
    const lines = await group.at(EU).report(E1);
    expect(lines.map(({ sql }) => sql)).toEqual(
      expect.arrayContaining([
        `UPDATE public.still SET v = 'late' WHERE id = 9`,
        `INSERT INTO public.pile (a, b) VALUES (8, 'later')`,
      ]),
    );
    await expectFollows(group);
  });

  test.each(['a later epoch begins', 'somebody else takes the lease'])(
    'and that sleeps until %s changes nothing',
    async (what) => {
      const group = await divided(postgres, { captured: TAIL });
      const before = await group.at(EU).contents();
      const deps = await group.reattachDeps(EU)();
      const { control } = group.at(EU);
      let roles = 0;
      const woken = {
        ...control,
        role: async () => {
          roles += 1;
          // The last look, with everything written and nothing committed.
          if (roles === 3 && what === 'a later epoch begins') await group.promote(AP, E3);
          if (roles === 3 && what !== 'a later epoch begins') await control.takeLease(LANE_0);
          return control.role();
        },
      };
      await deps.writePath.canary(EU);
      await group.at(EU).capture();
      const ended = await reattach({ ...deps, control: woken }, Date.now() - 5_000)
        .then(({ kind }) => kind)
        .catch((error: { code?: string }) => error.code);
      expect(roles).toBe(3);
      expect(['collecting', 'POSTGRES_UNREACHABLE']).toContain(ended);
      expect(await group.at(EU).contents()).toEqual(before);
      expect((await control.role()).attached).toBe(E1);
    },
  );
});

describe('a transaction that the log tells in part, as its leader was lost', () => {
  test.each([
    ['whose rest no log has', { isLogged: false, isPushed: false }],
    ["whose rest the leader's own log has", { isLogged: true, isPushed: false }],
    ['on which its log has gone on with another', { isLogged: false, isPushed: true }],
  ])('%s is in the report from its first change, and gone', async (_, { isLogged, isPushed }) => {
    const group = await divided(postgres, { onward: [], captured: [] }, async (at) => {
      await run(at, EU, [
        `UPDATE still SET v = 'small' WHERE id = 9`,
        BIG,
        `DELETE FROM still WHERE id = 10`,
      ]);
      await captureSome(at, 2);
      await at.follow(EU, US, AP);
      if (isLogged) await at.at(EU).capture();
    });
    await run(group, US, ONWARD);
    await group.at(US).capture();
    await group.follow(US, AP);
    if (isPushed) await group.push(US, EU);
    const result = await group.reattach(EU);
    const lines = await group.at(EU).report(E1);
    expect(result).toEqual({ kind: 'attached', divergent: 8_001 });
    expect(lines.filter(({ sql }) => sql.startsWith('INSERT INTO public.still'))).toHaveLength(8_000);
    expect(lines.at(-1)!.sql).toBe('DELETE FROM public.still WHERE id = 10');
    expect((await group.at(EU).contents())['public.still']).toContain('(9,small)');
    await expectFollows(group);
    // A follower never had it.
    expect(await group.reattach(AP)).toEqual({ kind: 'attached', divergent: 0 });
    await group.follow(US, AP);
    expect(await group.at(AP).contents()).toEqual(await group.at(US).contents());
  });
});

test('a former leader whose log has taken what the new one wrote holds that, too', async () => {
  const group = await divided(postgres, { uncaptured: TAIL });
  await group.at(US).capture();
  await group.push(US, EU);
  expect((await group.at(EU).log.head(LANE_0)).lastEpoch).toBe(E2);
  expect((await group.reattach(EU)).kind).toBe('attached');
  await expectFollows(group);
});

describe('a follower that had a tail of the lost leader', () => {
  test('is taken back from what it had applied', async () => {
    const group = await divided(postgres, { onward: [] }, async (at) => {
      await run(at, EU, TAIL);
      await at.at(EU).capture();
      await at.follow(EU, AP);
    });
    await run(group, US, ONWARD);
    const { kind } = await group.reattach(AP);
    expect(kind).toBe('attached');
    expect((await group.at(AP).report(E1)).every(({ lsn }) => lsn !== null)).toBe(true);
    await expectFollows(group, US, AP);
  });
});

describe('a Region that was taken back for a leader that is lost in turn', () => {
  test('before its own log had what that leader wrote, is copied anew', async () => {
    const group = await divided(postgres, { captured: TAIL });
    expect((await group.reattach(EU)).kind).toBe('attached');
    await group.promote(AP, E3);
    await run(group, AP, ONWARD.slice(0, 2));
    await group.at(AP).capture();
    expect((await group.reattach(EU)).kind).toBe('rebuilding');
    await group.follow(AP, EU);
    await expectFollows(group, AP, EU);
  });

  test('and had followed it, is taken back once more, with a report of its own', async () => {
    const group = await divided(postgres, { captured: TAIL.slice(0, 3), uncaptured: TAIL.slice(3) });
    expect((await group.reattach(EU)).kind).toBe('attached');
    await expectFollows(group);
    await group.promote(AP, E3);
    await run(group, AP, ONWARD.slice(3));
    expect((await group.reattach(EU)).kind).toBe('attached');
    const lines = await group.at(EU).report(E2);
    expect(lines.some(({ sql }) => sql.includes('another'))).toBe(true);
    await expectFollows(group, AP, EU);
  });
});

test('a store that holds what no log tells is copied anew, once its report is saved', async () => {
  const group = await divided(postgres, {
    captured: [`INSERT INTO account VALUES (501, 'mine', 1)`],
    onward: [],
  });
  const { origin } = group.at(EU);
  await group.at(EU).sql(`SELECT pg_replication_origin_session_setup('${origin}');
    INSERT INTO account VALUES (500, 'both', 1)`);
  await group.at(EU).sql('SELECT pg_replication_origin_session_reset()');
  await run(group, US, [`INSERT INTO account VALUES (501, 'both', 2)`]);
  expect(await group.reattach(EU)).toEqual({ kind: 'rebuilding', divergent: 1 });
  expect(await group.at(EU).report(E1)).toHaveLength(1);
  await group.follow(US, EU);
  await expectFollows(group);
});

test('a store with a large table that would be replaced whole is copied anew', async () => {
  const group = await divided(postgres, { uncaptured: [`INSERT INTO pile VALUES (9, 'mine')`] });
  group.wholeBytes = 8_000;
  expect((await group.reattach(EU)).kind).toBe('rebuilding');
  await group.at(US).capture();
  await group.follow(US, EU);
  await expectFollows(group);
});

test('a store whose slot was lost with what nobody had read is copied anew', async () => {
  // Nothing that the new leader writes would meet it.
  const uncaptured = [`UPDATE still SET v = 'lost' WHERE id = 9`];
  const group = await divided(postgres, { captured: TAIL.slice(0, 1), uncaptured });
  const eu = group.at(EU);
  await eu.sql(`SELECT pg_drop_replication_slot('${eu.slot}')`);
  eu.slot += '_anew';
  await eu.sql(`SELECT pg_create_logical_replication_slot('${eu.slot}', 'pgoutput')`);
  expect((await group.reattach(EU)).kind).toBe('rebuilding');
  expect(await eu.report(E1)).toHaveLength(4);
  await group.at(US).capture();
  await group.follow(US, EU);
  await expectFollows(group);
});

describe('with a role that may not switch off what tables do by themselves', () => {
  async function withRole(group: PostgresGroup, own: string): Promise<void> {
    const region = group.at(EU);
    const role = `plain_${region.slot}`;
    await region.sql(`
      CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'p'; GRANT ALL ON SCHEMA public, understudy TO ${role};
      GRANT ALL ON ALL TABLES IN SCHEMA public, understudy TO ${role};
      GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO ${role}; ${own.replaceAll('ROLE', role)}`);
    region.connectAs(role, 'p');
  }

  test('the owner of the tables takes them back, foreign keys and all', async () => {
    const group = await divided(postgres, { captured: TAIL.slice(0, 3), uncaptured: TAIL.slice(3) });
    const tables = ['account', 'entry', '"Order"', 'pile', 'part', 'part1', 'part2', 'still', 'made'];
    await withRole(group, tables.map((name) => `ALTER TABLE ${name} OWNER TO ROLE`).join(';'));
    const keys = `SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'`;
    const { rows } = await group.at(EU).client.query(keys);
    expect((await group.reattach(EU)).kind).toBe('attached');
    expect((await group.at(EU).client.query(keys)).rows).toEqual(rows);
    await expectFollows(group);
  });

  test('somebody else is told what to give, and nothing has changed', async () => {
    const group = await divided(postgres, { captured: TAIL });
    await withRole(group, '');
    const before = await group.at(EU).contents();
    await expect(group.reattach(EU)).rejects.toMatchObject({
      code: 'POSTGRES_REFUSED',
      next: expect.stringContaining('GRANT SET ON PARAMETER session_replication_role'),
    });
    expect(await group.at(EU).contents()).toEqual(before);
    await group.at(EU).sql(`GRANT SET ON PARAMETER session_replication_role TO plain_${group.at(EU).slot}`);
    expect((await group.reattach(EU)).kind).toBe('attached');
    await expectFollows(group);
  });

  test('triggers that would fire are named', async () => {
    const group = await divided(postgres, { captured: [`DELETE FROM still WHERE id = 1`] });
    await withRole(
      group,
      `ALTER TABLE still OWNER TO ROLE;
      CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER veto BEFORE INSERT ON still FOR EACH ROW EXECUTE FUNCTION no()`,
    );
    await expect(group.reattach(EU)).rejects.toMatchObject({
      message: expect.stringContaining('trigger veto'),
    });
  });
});
