import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UnderstudyError } from '#lib/domain/errors.ts';

const run = promisify(execFile);

const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../../.understudy/emulator', import.meta.url));
/** Written last: without it, an installation that was broken off is begun anew. */
const MARKER = 'installed';
const INSTALL_MS = 300_000;

/**
 * The Python that runs the emulator, in a folder of its own below `.understudy`. Installed on first use, and again when
 * the requirements change. Throws PLATFORM_UNSUPPORTED without a Python of at least 3.10.
 */
export async function emulatorPython(say: (line: string) => void): Promise<string> {
  const text = await readFile(REQUIREMENTS);
  const folder = join(FOLDER, createHash('sha256').update(text).digest('hex').slice(0, 12));
  const python = join(folder, 'bin', 'python');
  if (await exists(join(folder, MARKER))) return python;
  const host = await findPython(process.env);
  say(`installing the emulator in ${folder}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  try {
    await run(host, ['-m', 'venv', folder], { timeout: INSTALL_MS });
    await run(
      python,
      ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '-r', REQUIREMENTS],
      { timeout: INSTALL_MS },
    );
  } catch (cause) {
    throw unsupported(`the emulator could not be installed: ${String((cause as Error).message)}`, cause);
  }
  await writeFile(join(folder, MARKER), '');
  return python;
}

/** A Python of the machine that the emulator runs on. */
export async function findPython(env: NodeJS.ProcessEnv): Promise<string> {
  const tried: string[] = [];
  for (const name of ['python3', 'python']) {
    try {
      const { stdout } = await run(name, ['-c', 'import sys; print(*sys.version_info[:2])'], { env });
      const [major = 0, minor = 0] = stdout.trim().split(' ').map(Number);
      if (major === 3 && minor >= 10) return name;
      tried.push(`${name} is ${major}.${minor}`);
    } catch {
      tried.push(`no ${name}`);
    }
  }
  throw unsupported(`the emulator needs Python 3.10 or later (${tried.join(', ')})`);
}

function unsupported(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'PLATFORM_UNSUPPORTED',
    what,
    'Install Python 3.10 or later with its venv module, or set AWS_ENDPOINT_URL to an emulator that runs already.',
    { cause },
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
