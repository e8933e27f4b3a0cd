import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What tests and what they run leave in the folder for temporary files goes with the whole run. */
export async function setup(): Promise<() => Promise<void>> {
  const path = await mkdtemp(join(tmpdir(), 'understudy-tests-'));
  // Servers that run as somebody else pass through it.
  await chmod(path, 0o711);
  process.env.TMPDIR = path;
  return () => rm(path, { recursive: true, force: true });
}
