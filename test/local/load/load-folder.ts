import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { type LoadLine, readLoadFile } from '#lib/local/load/read-load-file.ts';

/** A folder for the load files of one test file, gone when its tests are done. */
export function loadFolder() {
  let folder = '';
  let files = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'understudy-load-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return {
    path: (name: string) => join(folder, name),
    /** Writes a file and returns its path; each call without a name writes another one. */
    async file(content: string | Uint8Array, name = `load-${files++}`): Promise<string> {
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
      return path;
    },
  };
}

export async function readAll(path: string, key?: readonly string[]): Promise<readonly LoadLine[]> {
  const lines: LoadLine[] = [];
  for await (const line of readLoadFile(path, { key })) lines.push(line);
  return lines;
}

/** What was wrong, line by line. */
export function problems(lines: readonly LoadLine[]): readonly string[] {
  return lines.flatMap((line) => (line.kind === 'malformed' ? [line.error.message] : []));
}

/** The items, line by line. */
export function items(lines: readonly LoadLine[]) {
  return lines.flatMap((line) => (line.kind === 'item' ? [line.item] : []));
}
