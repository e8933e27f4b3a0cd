import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chown, copyFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connector } from '#lib/engines/postgres/connect.ts';
import { type PostgresServer, startPostgresServer } from '#lib/local/postgres-server.ts';
import { temporaryDirectory, until } from '../local/until.ts';

const run = promisify(execFile);

/** A server that speaks TLS as `localhost`, with the authority that vouches for it, and one that does not. */
export type TlsPostgres = AsyncDisposable & {
  readonly server: PostgresServer;
  /** Files of PEM. */
  readonly authority: string;
  readonly stranger: string;
  /** Of a role, without a password. */
  url(role: string, host?: string): string;
  /** As the superuser, without TLS. */
  sql(text: string): Promise<void>;
  /** Switches TLS on or off for sessions to come. */
  speakTls(on: boolean): Promise<void>;
};

export async function startTlsPostgres(): Promise<TlsPostgres> {
  await using started = new AsyncDisposableStack();
  const folder = started.use(await temporaryDirectory()).path;
  const server = started.use(await startPostgresServer({ directory: folder }));
  const authority = await makeAuthority(folder, 'authority');
  const stranger = await makeAuthority(folder, 'stranger');
  await makeCertificate(folder);
  const sql = async (text: string) => {
    const client = await connector({ connectionString: server.url() })();
    try {
      for (const each of text.split(';')) await client.query(each);
    } finally {
      await client.end();
    }
  };
  const isOn = async () => {
    const client = await connector({ connectionString: server.url() })();
    const { rows } = await client.query<{ ssl: string }>('SHOW ssl');
    await client.end();
    return rows[0]!.ssl === 'on';
  };
  const data = join(folder, 'postgres');
  const { uid, gid } = await stat(data);
  for (const name of ['server.key', 'server.crt']) {
    await copyFile(join(folder, name), join(data, name));
    await chown(join(data, name), uid, gid);
  }
  const speakTls = async (on: boolean) => {
    await sql(`ALTER SYSTEM SET ssl = ${on ? 'on' : 'off'}; SELECT pg_reload_conf()`);
    await until('the server has read its configuration', async () => (await isOn()) === on);
  };
  await speakTls(true);
  const stop = started.move();
  return {
    server,
    authority,
    stranger,
    sql,
    speakTls,
    url: (role, host = 'localhost') => `postgres://${role}@${host}:${server.port}/postgres`,
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  };
}

/** As PEM: an authority, and the certificate that it has given to a server. */
export async function makeCertificates(
  folder: string,
): Promise<readonly [authority: string, server: string]> {
  const authority = await makeAuthority(folder, 'authority');
  await makeCertificate(folder);
  return [await readFile(authority, 'utf8'), await readFile(join(folder, 'server.crt'), 'utf8')];
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function makeAuthority(folder: string, name: string): Promise<string> {
  const file = join(folder, `${name}.pem`);
  const key = join(folder, `${name}.key`);
  // Two of one name could not be told apart by whoever trusts both.
  const subject = `/CN=${name} ${randomUUID()}`;
  const made = ['-x509', '-days', '2', '-subj', subject, '-keyout', key, '-out', file];
  await run('openssl', ['req', ...EC, ...made]);
  return file;
}

async function makeCertificate(folder: string): Promise<void> {
  const at = (name: string) => join(folder, name);
  const asked = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  await run('openssl', ['req', ...EC, ...asked, '-keyout', at('server.key'), '-out', at('server.csr')]);
  const signer = ['-CA', at('authority.pem'), '-CAkey', at('authority.key'), '-CAcreateserial'];
  const given = ['-in', at('server.csr'), '-out', at('server.crt'), '-days', '1', '-copy_extensions', 'copy'];
  await run('openssl', ['x509', '-req', ...signer, ...given]);
}
