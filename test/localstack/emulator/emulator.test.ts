import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { isRunning, temporaryDirectory, until } from '../../local/until.ts';
import { selfSigned } from './certificate.ts';
import { findPython } from './python.ts';

test('the certificate is one that Node trusts for 127.0.0.1 and for nothing else', async () => {
  const { certificate, key } = selfSigned();
  const server = createServer({ cert: certificate, key }, (_, answer) => answer.end('here'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const ask = (servername: string) =>
    new Promise<number | string>((resolve) => {
      get({ host: '127.0.0.1', port, ca: certificate, servername, agent: false }, (answer) =>
        resolve(answer.resume().statusCode!),
      ).on('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
    });
  try {
    expect(await ask('')).toBe(200);
    expect(await ask('localhost')).toBe(200);
    expect(await ask('example.com')).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  } finally {
    server.close();
  }
});

test('without a Python that is new enough it is said what to do', async () => {
  await expect(findPython({ PATH: '/nowhere' })).rejects.toThrow(
    /PLATFORM_UNSUPPORTED.*Python 3.10 or later.*AWS_ENDPOINT_URL/s,
  );
});

test('what a killed run has started ends with it, stopped or not, and its folder goes', async () => {
  await using temporary = await temporaryDirectory();
  const folder = `${temporary.path}/run`;
  const script = `
    import { mkdirSync } from 'node:fs';
    import { Guard, signalGroup } from ${JSON.stringify(new URL('guard.ts', import.meta.url).href)};
    mkdirSync(${JSON.stringify(folder)});
    const guard = new Guard(${JSON.stringify(folder)});
    const start = () => guard.spawn('sh', ['-c', 'sleep 600 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const both = [start(), start()];
    const children = await Promise.all(both.map((each) => new Promise((told) => each.stdout.once('data', (pid) => told(Number(pid))))));
    signalGroup(both[1], 'SIGSTOP');
    console.log(JSON.stringify([...both.map(({ pid }) => pid), ...children]));
    setInterval(() => {}, 1000);
  `;
  const run = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(run.stdout!, 'data')) as [Buffer];
  const pids = JSON.parse(line.toString()) as number[];
  expect(pids.every(isRunning)).toBe(true);
  run.kill('SIGKILL');
  await until('all of them are gone', () => !pids.some(isRunning));
  await until('the folder is gone', () =>
    access(folder).then(
      () => false,
      () => true,
    ),
  );
});
