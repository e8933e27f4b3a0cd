import type { Stats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { unreadable } from '#lib/local/load/refusals.ts';

/** One file to read. */
export type LoadSource = {
  readonly path: string;
  /** What stands before a line number in messages: empty for a lone file, `name ` in a folder. */
  readonly label: string;
};

const DATA_FILE = /^[^.].*\.(json|jsonl|ndjson)(\.gz)?$/;
const ION_FILE = /\.ion(\.gz)?$/;
const MANIFEST = 'manifest-files.json';
const MANIFESTS: ReadonlySet<string> = new Set([MANIFEST, 'manifest-summary.json']);

/**
 * The files that `path` stands for: itself, or the data files of a table export's folder in the order of their
 * names. Throws LOAD_FILE_UNREADABLE.
 */
export async function loadSources(path: string): Promise<readonly LoadSource[]> {
  const stats = await statOf(path);
  if (stats.isFile()) return [{ path, label: '' }];
  if (stats.isDirectory()) return await folderSources(path);
  throw unreadable(path, 'is not a regular file', 'It is read twice: save it to a file and give that.');
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw noAccess(path, error);
  }
}

/** The failure to open a path, in words. */
export function noAccess(path: string, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return unreadable(path, 'does not exist', 'Check the path given to --load.', error);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return unreadable(path, 'may not be read by this user', 'Change its permissions.', error);
  }
  return unreadable(
    path,
    `cannot be read (${message})`,
    'Check the disk and the path given to --load.',
    error,
  );
}

async function folderSources(path: string): Promise<readonly LoadSource[]> {
  const here = await namesIn(path);
  const folder = here.includes('data') ? join(path, 'data') : path;
  const found = folder === path ? here : await namesIn(folder);
  const names = here.includes(MANIFEST)
    ? await manifestNames(path, new Set(found))
    : found.filter((name) => DATA_FILE.test(name) && !MANIFESTS.has(name));
  if ((names.length > 0 ? names : found).some((name) => ION_FILE.test(name))) {
    throw unreadable(
      path,
      'is an export in Amazon Ion',
      'Export the table again in the format DYNAMODB_JSON.',
    );
  }
  if (names.length === 0) {
    throw unreadable(
      path,
      'is a folder without data files',
      'Give a file, or the folder of a table export: the one that holds manifest-files.json and data/.',
    );
  }
  return names.sort().map((name) => ({ path: join(folder, name), label: `${name} ` }));
}

/** The data files that the export's own list names, which must all be there: half a table is no table. */
async function manifestNames(folder: string, present: ReadonlySet<string>): Promise<string[]> {
  const path = join(folder, MANIFEST);
  let names: string[];
  try {
    const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '');
    names = lines.map((line) => basename(JSON.parse(line).dataFileS3Key));
  } catch (error) {
    throw unreadable(path, 'is not the list of files of a table export', 'Download the export again.', error);
  }
  const missing = names.filter((name) => !present.has(name));
  if (missing.length > 0) {
    throw unreadable(
      folder,
      `lacks ${missing.length} of the ${names.length} data files of the export, ${missing[0]} the first`,
      'Download the whole export; its data files belong in data/.',
    );
  }
  return names;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw noAccess(folder, error);
  }
}
