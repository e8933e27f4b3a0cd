import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until a condition holds; fails after the bound. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  boundMs = 15_000,
): Promise<void> {
  const end = performance.now() + boundMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${boundMs} ms: ${what}`);
    await sleep(5);
  }
}

/** False for a process that is gone, and for one that only waits to be reaped. */
export function isRunning(pid: number): boolean {
  return !['', 'Z'].includes(stateOf(pid));
}

export function isSuspended(pid: number): boolean {
  return stateOf(pid) === 'T';
}

/** The first letter of `stat` in ps(1); none if there is no such process. */
function stateOf(pid: number): string {
  return spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
    .stdout.trim()
    .slice(0, 1);
}

/** Whether anybody accepts connections there. */
export async function isListening(port: number, host = '127.0.0.1'): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host });
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const listening = await promise;
  socket.destroy();
  return listening;
}

/** A directory that goes with its scope. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'understudy-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
