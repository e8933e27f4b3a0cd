import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const ENTRY = fileURLToPath(new URL('../../bin/understudy.ts', import.meta.url));

export type Finished = {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** The command line as a process of its own, whose temporary folder is `tmp`. */
export function understudy(
  args: readonly string[],
  tmp: string,
  env: Readonly<Record<string, string>> = {},
): {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  readonly seen: (text: string) => Promise<void>;
} {
  const child = spawn(process.execPath, [ENTRY, ...args], {
    env: { ...process.env, TMPDIR: tmp, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const waiting = new Map<string, () => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    for (const [wanted, resolve] of waiting) if (stdout.includes(wanted)) resolve();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  const seen = async (text: string) => {
    if (stdout.includes(text)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.set(text, resolve);
    const ended = finished.then(() => {
      throw new Error(`it ended before it printed ${text}: ${stdout}${stderr}`);
    });
    await Promise.race([promise, ended]);
    ended.catch(() => {});
  };
  return { child, finished, seen };
}

/** The JSON objects of an output of JSON lines. */
export function jsonLines(text: string): readonly Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Processes that were started with `tmp` as their temporary folder and are still there. */
export async function processesOf(tmp: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8');
      if (environment.split('\0').includes(`TMPDIR=${tmp}`)) {
        found.push(`${pid} ${(await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')}`);
      }
    } catch {
      // It has gone, or is somebody else's.
    }
  }
  return found;
}
