import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runProgram } from '#lib/cli/program.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

/** A way to a database whose server says that it is of another version. */
async function as(version: string): Promise<AsyncDisposable & { readonly url: string }> {
  const url = new URL(await postgres.createDatabase());
  const { port } = url;
  const way = createServer((socket) => {
    const server = connect(Number(port), '127.0.0.1');
    socket.pipe(server);
    for (const each of [socket, server])
      each.on('error', () => socket.destroy()).on('close', () => server.destroy());
    server.on('data', (chunk: Buffer) => {
      const told = /(server_version\0)([^\0]+)/.exec(chunk.toString('latin1'));
      if (told !== null) {
        // As long as what it says itself: the message has its length before it.
        chunk.write(version.padEnd(told[2]!.length), told.index + told[1]!.length, told[2]!.length, 'latin1');
      }
      socket.write(chunk);
    });
    server.on('end', () => socket.end());
  });
  await once(way.listen(0, '127.0.0.1'), 'listening');
  url.port = String((way.address() as AddressInfo).port);
  return { url: url.href, [Symbol.asyncDispose]: async () => void way.close() };
}

test('nothing is begun at a server that is too old, and whoever asks is told so', async () => {
  await using old = await as('15');
  await expect(connector({ connectionString: old.url })({ replication: true })).rejects.toMatchObject({
    code: 'POSTGRES_TOO_OLD',
    message: expect.stringContaining('PostgreSQL 15'),
  });
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    expect(await runProgram(['node', 'u', 'doctor', '--engine', 'postgres', '--url', old.url])).toBe(1);
    expect(await runProgram(['node', 'u', 'prepare', '--group', 'orders', '--url', old.url])).toBe(1);
    for (const [said] of stderr.mock.calls)
      expect(said).toMatch(/POSTGRES_TOO_OLD.*Upgrade to PostgreSQL 16/);
  } finally {
    stderr.mockRestore();
  }
});

test('at one that knows no limit of transactions none is set', async () => {
  const asked = async (version: string) => {
    await using way = await as(version);
    const client = await connector({ connectionString: way.url })();
    const { rows } = await client.query<{ transaction_timeout: string }>('SHOW transaction_timeout');
    await client.end();
    return rows[0]!.transaction_timeout;
  };
  await (await postgres.connect(postgres.server.url())).query(
    `ALTER ROLE postgres SET transaction_timeout = '1h'`,
  );
  expect(await asked('16')).toBe('1h');
  expect(await asked('17')).toBe('0');
});

test.each(['idle_session_timeout', 'default_transaction_isolation', 'client_min_messages'])(
  'what a role has set as its %s does not count',
  async (setting) => {
    const url = await postgres.createDatabase();
    const admin = await postgres.connect(url);
    const plain = (await admin.query(`SELECT current_setting('${setting}') AS is`)).rows[0].is;
    const value =
      { idle_session_timeout: '1h', default_transaction_isolation: 'serializable' }[setting] ?? 'error';
    await admin.query(`ALTER ROLE postgres SET ${setting} = '${value}'`);
    try {
      for (const replication of [false, true]) {
        const client = await connector({ connectionString: url })({ replication });
        expect((await client.query(`SHOW ${setting}`)).rows[0][setting]).toBe(plain);
        await client.end();
      }
    } finally {
      await admin.query(`ALTER ROLE postgres RESET ${setting}`);
    }
  },
);
