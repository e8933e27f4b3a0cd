import { getServers, setServers } from 'node:dns';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { connectPostgresLeader, type PostgresLeader } from '#lib/client/connect-postgres-leader.ts';
import type { ClientEvent } from '#lib/client/leader-client.ts';
import { founded } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { until } from '../local/until.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { change, setOf, startTestDns, type TestDns, ZONE } from '../support/dns.ts';
import { E1, E2 } from '../support/log-history.ts';
import { EU, US } from '../support/memory-group.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { startRegionRouter } from '../support/region-router.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const GROUP = parseGroup({
  group: 'bank',
  engine: { kind: 'dynamodb', table: 'unused', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: EU }, { name: US }],
});
const NAME = `bank.${ZONE}`;

const systemServers = getServers();
let postgres: TestPostgres;
let dns: TestDns;
let router: Awaited<ReturnType<typeof startRegionRouter>>;
const servers = new Map<RegionId, RegionServers>();
const acceptors = new Map<RegionId, AwsAcceptor>();
const urls = new Map<RegionId, URL>();
/** Past whatever the client does. */
const admins = new Map<RegionId, pg.Client>();
const clients: PostgresLeader[] = [];
let events: ClientEvent[] = [];

beforeAll(async () => {
  [postgres, dns] = await Promise.all([startTestPostgres(), startTestDns()]);
  for (const region of [EU, US]) {
    const server = await startRegionServers(region);
    servers.set(region, server);
    const { controlTable: table } = await server.provision(GROUP);
    const acceptor = new AwsAcceptor({ dynamodb: server.clients.dynamodb, group: GROUP.group, table });
    acceptors.set(region, acceptor);
    const url = await postgres.createDatabase();
    urls.set(region, new URL(url));
    const admin = await postgres.connect(url);
    admins.set(region, admin);
    await admin.query(`CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
      CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
      CREATE FUNCTION clashes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$;
      CREATE FUNCTION forbids() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '25006'; END $$`);
  }
  const endpoints = Object.fromEntries([...servers].map(([at, { endpoints }]) => [at, endpoints.dynamodb]));
  router = await startRegionRouter(endpoints, () => {});
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', router.endpoint);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  setServers([`127.0.0.1:${dns.dnsPort}`]);
  await point('CREATE', EU);
  const eu = acceptors.get(EU)!;
  await eu.join(ballot(1), founded(EU, E1, 'first'));
  await eu.beat({ epoch: E1, counter: 1, leaseUntilMs: Date.now() + 600_000 });
});
afterAll(async () => {
  setServers(systemServers);
  vi.unstubAllEnvs();
  await Promise.all(clients.map((client) => client.end()));
  await router?.[Symbol.asyncDispose]();
  await dns?.[Symbol.asyncDispose]();
  await Promise.all([...servers.values()].map((server) => server[Symbol.asyncDispose]()));
  await postgres?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  events = [];
  for (const admin of admins.values()) {
    await admin.query(
      `DROP TRIGGER IF EXISTS once ON account; TRUNCATE account; INSERT INTO account VALUES (7, 10)`,
    );
  }
});

async function point(action: 'CREATE' | 'UPSERT', region: RegionId): Promise<void> {
  await change(dns.route53, [action, setOf('bank', 'CNAME', `${region}.bank.example.com`)]);
}

async function connected(as?: { readonly user: string; readonly password: string }): Promise<PostgresLeader> {
  const client = await connectPostgresLeader({
    group: 'bank',
    name: NAME,
    ttlSeconds: 5,
    login: (region) => {
      const { pathname, password, port, username } = urls.get(region as RegionId)!;
      const database = pathname.slice(1);
      return { host: '127.0.0.1', port: Number(port), database, user: username, password, ...as };
    },
    onEvent: (event) => events.push(event),
  });
  clients.push(client);
  return client;
}

async function balance(region = EU): Promise<number> {
  const { rows } = await admins.get(region)!.query('SELECT balance FROM account WHERE id = 7');
  return rows[0].balance;
}

const ADD = 'UPDATE account SET balance = balance + $1 WHERE id = 7';

/** What a trigger does at the COMMIT of the first transaction that touches the table, or at its first statement. */
async function once(what: 'ends' | 'clashes' | 'forbids', when: 'statement' | 'commit'): Promise<void> {
  const timing =
    when === 'commit'
      ? 'CREATE CONSTRAINT TRIGGER once AFTER UPDATE ON account DEFERRABLE INITIALLY DEFERRED FOR EACH ROW'
      : 'CREATE TRIGGER once BEFORE UPDATE ON account FOR EACH ROW';
  await admins.get(EU)!.query(`${timing} EXECUTE FUNCTION ${what}()`);
}

/** The first refusal is over: from now on, all is well. */
async function heal(): Promise<void> {
  await admins.get(EU)!.query('DROP TRIGGER IF EXISTS once ON account');
}

describe('a transaction', () => {
  test('is made whole at the leader, and its result is handed on', async () => {
    const bank = await connected();
    const result = await bank.transaction(async (session) => {
      await session.query(ADD, [1]);
      await session.query('INSERT INTO account VALUES (8, 1)');
      return (await session.query<{ n: string }>('SELECT count(*) AS n FROM account')).rows[0]!.n;
    });
    expect(result).toBe('2');
    expect(await balance()).toBe(11);
  });

  test("that the server says no to is not made, and throws the server's own error; the next one is", async () => {
    const bank = await connected();
    let tries = 0;
    const failing = bank.transaction(async (session) => {
      tries += 1;
      await session.query(ADD, [1]);
      await session.query(ADD, [-100]);
    });
    await expect(failing).rejects.toMatchObject({ code: '23514' });
    expect(tries).toBe(1);
    expect(await balance()).toBe(10);
    await bank.transaction((session) => session.query(ADD, [1]));
    expect(await balance()).toBe(11);
  });

  test('whose work fails is not made, and throws what the work threw', async () => {
    const bank = await connected();
    const mine = new Error('no such customer');
    const failing = bank.transaction(async (session) => {
      await session.query(ADD, [1]);
      throw mine;
    });
    await expect(failing).rejects.toBe(mine);
    expect(await balance()).toBe(10);
  });

  test('whose failed statement nobody heeds is said to be rolled back', async () => {
    const bank = await connected();
    const failing = bank.transaction(async (session) => {
      await session.query(ADD, [1]);
      await session.query('SELECT 1 / 0').catch(() => {});
    });
    await expect(failing).rejects.toMatchObject({
      code: 'POSTGRES_FAILED',
      next: expect.stringContaining('savepoint'),
    });
    expect(await balance()).toBe(10);
  });

  test.each<readonly [string, 'ends' | 'clashes' | 'forbids', 'statement' | 'commit']>([
    ['whose session is lost before its COMMIT', 'ends', 'statement'],
    ['that clashes with another one', 'clashes', 'statement'],
    ['that clashes with another one as it commits', 'clashes', 'commit'],
    ['that a guard refuses', 'forbids', 'statement'],
    ['that a guard refuses as it commits', 'forbids', 'commit'],
  ])('%s is made again, once', async (_, what, when) => {
    const bank = await connected();
    await once(what, when);
    let runs = 0;
    await bank.transaction(async (session) => {
      runs += 1;
      if (runs === 2) await heal();
      await session.query(ADD, [1]);
    });
    expect(runs).toBe(2);
    expect(await balance()).toBe(11);
    // A busy machine's look at the lease may be refused once more.
    expect(events.map(({ kind }) => kind)).toContain('refused');
    expect(events.at(-1)).toMatchObject({ kind: 'converged' });
  });

  test('whose connection is cut before its COMMIT is made again, once', async () => {
    const bank = await connected();
    let runs = 0;
    await bank.transaction(async (session) => {
      runs += 1;
      await session.query(ADD, [1]);
      if (runs > 1) return;
      (session as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await session.query('SELECT 1');
    });
    expect(runs).toBe(2);
    expect(await balance()).toBe(11);
  });

  test('whose session is lost at its COMMIT is of unknown outcome, and is not made again', async () => {
    const bank = await connected();
    await once('ends', 'commit');
    let runs = 0;
    const lost = bank.transaction(async (session) => {
      runs += 1;
      await session.query(ADD, [1]);
    });
    await expect(lost).rejects.toMatchObject({ code: 'WRITE_UNKNOWN', cause: { code: '57P01' } });
    expect(runs).toBe(1);
  });

  test('that is idempotent is made again after that', async () => {
    const bank = await connected();
    await once('ends', 'commit');
    let runs = 0;
    await bank.transaction(
      async (session) => {
        runs += 1;
        if (runs === 2) await heal();
        await session.query('UPDATE account SET balance = 20 WHERE id = 7');
      },
      { idempotent: true },
    );
    expect(await balance()).toBe(20);
  });

  test('that takes too long is given up before its COMMIT, and never made', async () => {
    const bank = await connected();
    let runs = 0;
    let late: Promise<unknown> | undefined;
    await bank.transaction(async (session) => {
      runs += 1;
      await session.query(ADD, [1]);
      if (runs > 1) return;
      late = session.query('SELECT pg_sleep(3600)');
      await late;
    });
    await expect(late).rejects.toThrow();
    expect(runs).toBe(2);
    expect(await balance()).toBe(11);
  });

  test('is refused with a wrong password at once, with the error of the server', async () => {
    const admin = admins.get(EU)!;
    await admin.query("CREATE ROLE clerk LOGIN PASSWORD 'right'");
    const bank = await connected({ user: 'clerk', password: 'wrong' });
    await expect(bank.transaction((session) => session.query(ADD, [1]))).rejects.toMatchObject({
      code: '28P01',
    });
    expect(events).toEqual([]);
  });
});

test('the client goes on where the next leader is, and writes nothing where the last one was', async () => {
  const bank = await connected();
  await bank.transaction((session) => session.query(ADD, [1]));
  const [eu, us] = [acceptors.get(EU)!, acceptors.get(US)!];
  await eu.beat({ epoch: E1, counter: 2, leaseUntilMs: Date.now() - 1 });
  // What it has seen of the lease a moment ago still holds.
  const going = (async () => {
    while (events.length === 0) await bank.transaction((session) => session.query(ADD, [0]));
  })();
  await until('the old leader refuses', () => events.length > 0);
  await us.join(ballot(1), founded(EU, E1, 'first'));
  await us.vote(E1, 'over');
  await us.accept(ballot(2), founded(US, E2, 'second'));
  await us.beat({ epoch: E2, counter: 1, leaseUntilMs: Date.now() + 600_000 });
  await point('UPSERT', US);
  await going;
  await bank.transaction((session) => session.query(ADD, [5]));
  expect([await balance(EU), await balance(US)]).toEqual([11, 15]);
  expect(events.at(-1)).toMatchObject({ kind: 'converged', target: `${US}.bank.example.com` });
});
