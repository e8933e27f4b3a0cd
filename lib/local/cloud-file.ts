import { readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** Prefix of the folders that embedded clouds make in the system's temporary folder. */
export const CLOUD_FOLDER = 'understudy-';
const FILE = 'cloud.json';

const schema = z.object({
  pid: z.number(),
  config: z.record(z.string(), z.unknown()),
  /** Does anybody look after the leader? Else there is no failover. */
  isWatched: z.boolean().default(true),
  endpoints: z.record(z.string(), z.unknown()),
});

/** How a running embedded cloud is reached: the configuration and the endpoints as functions get them. */
export type CloudFile = z.infer<typeof schema>;

export async function writeCloudFile(folder: string, cloud: CloudFile): Promise<void> {
  await writeFile(join(folder, FILE), JSON.stringify(cloud));
}

/** Reads the description of a cloud. */
export async function readCloudFile(path: string): Promise<CloudFile> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new UnderstudyError(
      'CLOUD_NOT_FOUND',
      `${path} does not describe a group: ${why}`,
      'Give the cloud.json that npm start -- --keep prints.',
      { cause },
    );
  }
}

/** The embedded cloud that runs on this machine. Throws CLOUD_NOT_FOUND if there is none, or more than one. */
export async function findCloud(): Promise<CloudFile> {
  const found: { path: string; cloud: CloudFile }[] = [];
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(CLOUD_FOLDER)) continue;
    const path = join(tmpdir(), name, FILE);
    try {
      const cloud = await readCloudFile(path);
      if (isRunning(cloud.pid)) found.push({ path, cloud });
    } catch {
      // A folder of something else, or a cloud that is only coming up.
    }
  }
  if (found.length === 1) return found[0]!.cloud;
  throw found.length === 0
    ? new UnderstudyError(
        'CLOUD_NOT_FOUND',
        'no embedded cloud runs on this machine',
        'Start one in another terminal: npm start -- --keep.',
      )
    : new UnderstudyError(
        'CLOUD_NOT_FOUND',
        `${found.length} embedded clouds run on this machine: ${found.map(({ path }) => path).join(', ')}`,
        'Name one with --cloud FILE.',
      );
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
