import type { Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import { planLoad } from '#lib/local/load/load-plan.ts';
import { readLoadFile } from '#lib/local/load/read-load-file.ts';

export type LoadOptions = {
  readonly load?: string;
  readonly key?: string;
  readonly strict?: boolean;
};

/** Items of a user's file, and the key that their table gets. */
export type Load = { readonly key: KeySchema; readonly writes: () => AsyncIterable<Write> };

/**
 * What --load asks for, undefined without it. The whole file is read first: `say` tells what is in it and which lines
 * are not loaded; what cannot be loaded at all is thrown before anything is started (as `planLoad` does).
 */
export async function loadOf(options: LoadOptions, say: (line: string) => void): Promise<Load | undefined> {
  const { load: path, key, strict } = options;
  if (path === undefined) {
    if (key === undefined && strict === undefined) return undefined;
    const stray = key === undefined ? '--strict' : '--key';
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `${stray} is about the file of --load, and there is none`,
      `Give --load FILE as well, or leave ${stray} out.`,
    );
  }
  const names = key?.split(',').map((name) => name.trim());
  const plan = await planLoad(path, { ...(names && { key: names }), strict: strict === true });
  say(`${path}: ${plan.items} items, key ${plan.key.map(({ name }) => name).join(', ')}`);
  for (const { error } of plan.malformed) say(error.message);
  if (plan.malformedCount > 0) say(`${plan.malformedCount} lines are not loaded`);
  return { key: plan.key, writes: () => writesOf(path, plan.key) };
}

async function* writesOf(path: string, schema: KeySchema): AsyncIterable<Write> {
  const names = schema.map(({ name }) => name);
  for await (const line of readLoadFile(path, { key: names })) {
    if (line.kind === 'malformed') continue;
    const key = Object.fromEntries(names.map((name) => [name, line.item[name]])) as Item;
    yield { kind: 'put', key, item: line.item };
  }
}
