import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { spawnNode } from '#lib/local/child.ts';
import { spawnGuarded } from '#lib/local/guarded.ts';
import { KeptProcess } from '#lib/local/kept-process.ts';
import { freePort } from '#lib/local/ports.ts';
import { spawnFamily } from './family.ts';
import type { Started } from './throwaway-parent.ts';
import { isListening, isRunning, isSuspended, temporaryDirectory, until } from './until.ts';

test('no server outlives a parent that is killed, not even a suspended one', async () => {
  await using directory = await temporaryDirectory();
  const parent = fork(fileURLToPath(new URL('./throwaway-parent.ts', import.meta.url)), [directory.path], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const [{ pids, ports }] = (await once(parent, 'message')) as [Started];
  expect(pids.filter(isRunning)).toHaveLength(6);
  parent.kill('SIGKILL');
  await until('all servers are gone', () => !pids.some(isRunning));
  for (const port of ports) expect(await isListening(port)).toBe(false);
});

/** A module for a child process, in a file of its own. */
async function moduleOf(directory: string, source: string): Promise<URL> {
  const file = join(directory, 'child.mjs');
  await writeFile(file, source);
  return pathToFileURL(file);
}

test('a child reports that it is ready, hears and is heard', async () => {
  await using directory = await temporaryDirectory();
  const entry = await moduleOf(
    directory.path,
    `process.on('message', (message) => process.send({ heard: message, args: process.argv.slice(2), env: process.env.WHO }));
     process.send({ kind: 'ready' });`,
  );
  await using child = spawnNode(entry, { name: 'echo', args: ['one'], env: { WHO: 'me' } });
  const messages: unknown[] = [];
  child.onMessage((message) => messages.push(message));
  expect(await child.ready).toEqual({ kind: 'ready' });
  expect(child.send({ lsn: 7n })).toBe(true);
  await until('the echo comes back', () => messages.length > 0);
  expect(messages).toEqual([{ heard: { lsn: 7n }, args: ['one'], env: 'me' }]);
  await child.stop();
  expect(isRunning(child.pid)).toBe(false);
  expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
  expect(child.send({})).toBe(false);
});

test('a kept process that is halted while it comes up is gone at once', async () => {
  await using directory = await temporaryDirectory();
  const entry = await moduleOf(directory.path, 'setInterval(() => {}, 1_000);');
  const pids: number[] = [];
  const kept = new KeptProcess(
    async (signal) => {
      const child = spawnNode(entry, { name: 'never ready', signal });
      pids.push(child.pid);
      await child.ready;
      return child;
    },
    () => {},
  );
  const first = kept.run();
  first.catch(() => {});
  await kept.halt();
  expect(pids).toHaveLength(1);
  await until('it is gone', () => !pids.some(isRunning));
  await expect(first).rejects.toThrow('aborted');
});

test('a guarded program ends by its signal', async () => {
  const ending = new AbortController();
  const program = await spawnGuarded('sleeper', 'sleep', ['1000'], ending.signal);
  ending.abort();
  expect(await program.exited).toEqual({ code: null, signal: 'SIGKILL' });
  const late = await spawnGuarded('late sleeper', 'sleep', ['1000'], ending.signal);
  expect(await late.exited).toEqual({ code: null, signal: 'SIGKILL' });
});

test('a guarded program that is killed or suspended takes its own processes with it', async () => {
  const { program, child } = await spawnFamily();
  program.kill('SIGSTOP');
  await until('both are suspended', () => [program.pid, child].every(isSuspended));
  program.kill('SIGCONT');
  await until('both go on', () => ![program.pid, child].some(isSuspended));
  program.kill('SIGTERM');
  await program.exited;
  expect(isRunning(child)).toBe(true);
  process.kill(child, 'SIGKILL');

  const killed = await spawnFamily();
  killed.program.kill('SIGKILL');
  await until('both are gone', () => ![killed.program.pid, killed.child].some(isRunning));
});

test('a child that fails at the start gives the reason', async () => {
  await using directory = await temporaryDirectory();
  const entry = await moduleOf(directory.path, `throw new Error('no such directory: /data');`);
  const child = spawnNode(entry, { name: 'worker of eu-west-1' });
  await expect(child.ready).rejects.toThrow(
    /^SERVER_NOT_STARTED: the worker of eu-west-1 did not start \(exit status 1.*no such directory: \/data/s,
  );
  expect(await child.exited).toEqual({ code: 1, signal: null });
});

test('a guarded program is known by its own process id and by how it ended', async () => {
  const program = await spawnGuarded('sleeper', 'sleep', ['1000']);
  expect(isRunning(program.pid)).toBe(true);
  program.kill('SIGTERM');
  expect(await program.exited).toEqual({ code: null, signal: 'SIGTERM' });

  const failing = await spawnGuarded('failing program', 'sh', ['-c', 'echo reason >&2; exit 4']);
  expect(await failing.exited).toEqual({ code: 4, signal: null });
});

test('a free port is not given twice', async () => {
  const ports = await Promise.all(Array.from({ length: 200 }, freePort));
  expect(new Set(ports).size).toBe(200);
});
