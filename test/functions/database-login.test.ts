import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openGroup } from '#functions/engines/open-group.ts';
import type { GroupResources } from '#lib/aws/aws-peers.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { type LoginConfig, parseGroup } from '#lib/domain/topology.ts';
import type { Engine } from '#lib/ports/engine.ts';
import { SILENT } from '#lib/ports/telemetry.ts';
import { type FakeSecrets, startFakeSecrets } from '../support/fake-secrets.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/postgres-tls.ts';

const EU = parseRegionId('eu-west-1');
const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
let postgres: TlsPostgres;
let secrets: FakeSecrets;

beforeAll(async () => {
  [postgres, secrets] = await Promise.all([startTlsPostgres(), startFakeSecrets()]);
  await postgres.sql('CREATE ROLE replicator SUPERUSER LOGIN; CREATE ROLE other SUPERUSER LOGIN');
}, 60_000);
afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
  await secrets?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await setPassword('first', 'first');
  secrets.asked.length = 0;
});

/** At the server, and in the secret. */
async function setPassword(atServer: string, inSecret: string, more: object = {}): Promise<void> {
  await postgres.sql(`ALTER ROLE replicator PASSWORD '${atServer}' VALID UNTIL 'infinity'`);
  secrets.values.set('orders/db', JSON.stringify({ password: inSecret, ...more }));
}

type Given = { url?: string; authority?: string; login?: LoginConfig };

/** A group whose functions reach its databases as deployed ones do. */
function engineOf({
  url,
  authority = postgres.authority,
  login = { kind: 'secret', id: 'orders/db' },
}: Given = {}): Engine {
  const group = parseGroup({
    group: 'orders',
    engine: {
      kind: 'postgres',
      databases: { [EU]: url ?? postgres.url('replicator') },
      logins: { [EU]: login },
      authority,
      publication: 'understudy',
      slot: 'understudy',
    },
    regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
  });
  const endpoints = { [EU]: { dynamodb: 'http://127.0.0.1:1', secrets: secrets.endpoint, credentials } };
  const resources: GroupResources = {
    ...group,
    logTable: 'log',
    controlTable: 'control',
    buckets: {},
    endpoints,
  };
  return openGroup(resources, { telemetry: SILENT }).engine;
}

/** The least that needs a session. The database has no slot, which is found by whoever is let in. */
const look = (engine: Engine) => engine.checkFitness(EU);
const LET_IN = { code: 'SLOT_LOST' };

describe('a function of a group of databases', () => {
  test('is let in by the secret, which it reads once', async () => {
    const engine = engineOf();
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
    expect(secrets.asked).toEqual(['orders/db']);
  });

  test('reads the secret anew when its password has been rotated, once for all sessions', async () => {
    const engine = engineOf();
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
    await setPassword('second', 'second');
    const looks = await Promise.allSettled([1, 2, 3].map(() => look(engine)));
    expect(looks.map((each) => (each as PromiseRejectedResult).reason)).toMatchObject([
      LET_IN,
      LET_IN,
      LET_IN,
    ]);
    expect(secrets.asked).toHaveLength(2);
  });

  test('takes the role that a rotation has put in its place, too', async () => {
    const engine = engineOf();
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
    await setPassword('nobody knows it any more', 'first');
    await postgres.sql(`ALTER ROLE other PASSWORD 'others'`);
    secrets.values.set('orders/db', JSON.stringify({ username: 'other', password: 'others', port: 5432 }));
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
  });

  test('says that the password has expired, tells it to nobody, and goes on once it is good again', async () => {
    const engine = engineOf();
    await postgres.sql(`ALTER ROLE replicator VALID UNTIL '2001-01-01'`);
    const error = await look(engine).catch((each: unknown) => each);
    expect(error).toMatchObject({ code: 'POSTGRES_REFUSED', message: expect.stringContaining('28P01') });
    expect(inspect(error, { depth: 9 })).not.toContain("'first'");
    // Nobody hammers the secret for a role that is shut out.
    expect(secrets.asked).toHaveLength(2);
    await setPassword('first', 'first');
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
  });

  test.each([
    ['is not there', undefined, 'ResourceNotFoundException'],
    ['is no JSON', 'hunter2', 'not JSON with a password'],
    ['has no password', '{"username": "hunter2"}', 'not JSON with a password'],
  ])('says that the secret %s, and nothing of what is in it', async (_, value, message) => {
    if (value === undefined) secrets.values.delete('orders/db');
    else secrets.values.set('orders/db', value);
    const engine = engineOf();
    const error = await look(engine).catch((each: unknown) => each);
    expect(error).toMatchObject({ code: 'LOGIN_UNREADABLE', message: expect.stringContaining(message) });
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
    await setPassword('first', 'first');
    await expect(look(engine)).rejects.toMatchObject(LET_IN);
  });

  test.each([
    ['signed by nobody that it trusts', () => ({ authority: postgres.stranger }), 'certificate'],
    ['signed by none of the authorities of RDS', () => ({ authority: 'rds' }), 'certificate'],
    ['for another name', () => ({ url: postgres.url('replicator', '127.0.0.1') }), 'the name that is in it'],
  ])('sends no password to a server with a certificate %s', async (_, given, message) => {
    await expect(look(engineOf(given()))).rejects.toMatchObject({
      code: 'POSTGRES_REFUSED',
      message: expect.stringContaining(message),
    });
  });

  test('verifies the certificate, whatever the address says of TLS', async () => {
    for (const mode of ['disable', 'no-verify']) {
      const url = `${postgres.url('replicator')}?sslmode=${mode}`;
      const error = look(engineOf({ url, authority: postgres.stranger }));
      await expect(error).rejects.toMatchObject({ code: 'POSTGRES_REFUSED' });
    }
  });

  test('sends no password to a server without TLS', async () => {
    await postgres.speakTls(false);
    try {
      await expect(look(engineOf())).rejects.toMatchObject({
        code: 'POSTGRES_REFUSED',
        message: expect.stringContaining('Switch TLS on'),
      });
    } finally {
      await postgres.speakTls(true);
    }
  });

  test("goes by IAM's token where it is told to, which no server but RDS takes", async () => {
    const url = postgres.url('by_iam');
    await postgres.sql('CREATE ROLE by_iam LOGIN');
    const error = look(engineOf({ url, login: { kind: 'iam' } }));
    await expect(error).rejects.toMatchObject({ code: 'POSTGRES_REFUSED' });
    expect(secrets.asked).toEqual([]);
  });
});
