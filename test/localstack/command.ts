import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Guard } from './emulator/guard.ts';

const TAIL_LINES = 25;

/** Runs a program to its end; its output goes to `log`. Throws with the end of it unless the status is expected. */
export async function runCommand(
  guard: Guard,
  args: readonly string[],
  options: {
    readonly cwd: string;
    readonly env: NodeJS.ProcessEnv;
    readonly log: string;
    readonly expect?: readonly number[];
  },
): Promise<{ readonly status: number; readonly stdout: string }> {
  const { cwd, env, expect = [0], log } = options;
  const child = guard.spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const file = createWriteStream(log, { flags: 'a' });
  file.write(`$ ${args.join(' ')}\n`);
  let stdout = '';
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    output += text;
    file.write(text);
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    file.write(text);
  });
  const [status] = (await once(child, 'close')) as [number | null];
  file.end();
  if (status !== null && expect.includes(status)) return { status, stdout };
  const tail = output.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  throw new Error(`${args.slice(0, 3).join(' ')} ended with status ${status}:\n${tail}`);
}
