import { writeFile } from 'node:fs/promises';
import { type Connection, connect, regionOf } from '#lib/cli/connect.ts';
import { sqlLines } from '#lib/cli/divergent-sql.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { inTime } from '#lib/cli/in-time.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { operatorOf, reasonOf } from '#lib/cli/operator.ts';
import { table } from '#lib/cli/table.ts';
import { cameToNothing } from '#lib/domain/control/survey.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import type { Divergence } from '#lib/ports/divergences.ts';
import { epochsUpTo } from '#lib/usecases/control/survey.ts';

type DivergenceOptions = GroupChoice & { json?: boolean; region?: string; epoch?: string };

/** A Region's divergence; `changes` are the lines of its report, absent while there is none. */
type Found = Divergence & { readonly region: RegionId; readonly changes?: readonly Change[] };

/** A line of a report, as `encodeReport` writes it. */
type Change = {
  readonly kind: string;
  readonly at: string;
  readonly key: unknown;
  readonly before: unknown;
  readonly after: unknown;
  readonly lsn: string | null;
  readonly shard: string;
  readonly transaction?: string;
  /** Where the store takes SQL: the statement that does the same. */
  readonly sql?: string;
};

/** `understudy divergence show`: what Regions had that the group has not, change by change. */
export async function divergenceShowCommand(options: DivergenceOptions): Promise<number> {
  const connection = await connect(options);
  try {
    const found = await find(connection, options);
    if (options.json) {
      for (const line of reportLines(await withChanges(connection, found))) console.log(line);
      return 0;
    }
    if (found.length === 0) console.log('No Region has diverged.');
    for (const each of await withChanges(connection, found)) {
      console.log(`${each.region}, epoch ${each.epoch}: ${stateOf(each)}`);
      if (isSql(each)) {
        for (const line of sqlLines(each.changes)) console.log(line);
        continue;
      }
      const rows = (each.changes ?? []).map(({ after, at, before, key, kind, lsn }) => [
        kind,
        jsonLine(key),
        before === null ? '(none)' : jsonLine(before),
        after === null ? '(deleted)' : jsonLine(after),
        at,
        lsn === null ? 'not logged' : `LSN ${lsn}`,
      ]);
      if (rows.length === 0) continue;
      for (const line of table(['change', 'key', 'before', 'after', 'time', 'logged'], rows))
        console.log(line);
    }
    return 0;
  } finally {
    connection.close();
  }
}

/**
 * `understudy divergence export`: the reports as a file, of SQL if its name ends so, else of JSON lines. Never overwrites
 * one.
 */
export async function divergenceExportCommand(file: string, options: DivergenceOptions): Promise<number> {
  const connection = await connect(options);
  try {
    const found = await withChanges(connection, await find(connection, options));
    const asSql = file.endsWith('.sql');
    const lines = asSql ? sqlFile(found) : reportLines(found);
    const changes = found.reduce((sum, each) => sum + (each.changes?.length ?? 0), 0);
    try {
      await writeFile(file, lines.map((line) => `${line}\n`).join(''), { flag: 'wx' });
    } catch (cause) {
      const next = 'Name a file that does not exist yet.';
      throw new UnderstudyError('CONFIG_INVALID', `${file} cannot be written`, next, { cause });
    }
    console.log(options.json ? jsonLine({ file, changes }) : `${changes} changes: ${file}`);
    return 0;
  } finally {
    connection.close();
  }
}

/** `understudy divergence discard`: records that nobody needs the changes any more. The reports stay. */
export async function divergenceDiscardCommand(
  options: DivergenceOptions & { reason?: string; by?: string },
): Promise<number> {
  const reason = reasonOf(options.reason, 'divergence discard');
  const connection = await connect(options);
  try {
    const found = (await find(connection, options)).filter(({ discarded }) => discarded === undefined);
    if (found.length === 0) {
      throw new UnderstudyError(
        'CONFIG_INVALID',
        'there is no divergence to discard',
        'See understudy divergence show.',
      );
    }
    const unsaved = found.find(({ report }) => report === undefined);
    if (unsaved !== undefined) {
      throw new UnderstudyError(
        'DIVERGENCE_UNSAVED',
        `what ${unsaved.region} had of epoch ${unsaved.epoch} is still being collected`,
        'Wait until it is re-attached (understudy reattach --wait), look at the report, then discard it.',
      );
    }
    const record = { by: operatorOf(options.by), reason, atMs: Date.now() };
    for (const { epoch, region } of found) {
      await connection.peers.divergences(region).discard(epoch, record);
      const text = `${region}, epoch ${epoch}: discarded by ${record.by}; the report is kept`;
      console.log(options.json ? jsonLine({ region, epoch, ...record }) : text);
    }
    return 0;
  } finally {
    connection.close();
  }
}

/** All divergences that are asked for. A Region that does not answer is named on stderr. */
async function find(
  { config, peers, register }: Connection,
  { epoch, region }: DivergenceOptions,
): Promise<readonly Found[]> {
  const asked = epoch === undefined ? undefined : parseEpoch(epoch);
  const regions = region === undefined ? config.regions.map(({ name }) => name) : [regionOf(config, region)];
  const answers = await Promise.all(
    regions.map(async (name): Promise<readonly Found[]> => {
      const learn = async () => {
        const role = await peers.control(name).role();
        const epochs = asked === undefined ? epochsUpTo(role.epoch) : [asked];
        const all = await Promise.all(epochs.map((each) => peers.divergences(name).of(each)));
        return all.flatMap((each) =>
          each === undefined ||
          cameToNothing(role, { epoch: each.epoch, isReported: each.report !== undefined })
            ? []
            : [{ ...each, region: name }],
        );
      };
      try {
        return await inTime(name, learn(), register.sleep);
      } catch (error) {
        process.stderr.write(`${name}: not known whether it has diverged: ${String(error)}\n`);
        return [];
      }
    }),
  );
  return answers.flat();
}

async function withChanges({ peers }: Connection, found: readonly Found[]): Promise<readonly Found[]> {
  return Promise.all(
    found.map(async (each) => {
      if (each.report === undefined) return each;
      const bytes = await peers.divergences(each.region).get(each.report.hash);
      const lines = Buffer.from(bytes).toString('utf8').split('\n');
      const changes = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Change);
      return { ...each, changes };
    }),
  );
}

/** Is it of a store that takes SQL? */
function isSql(found: Found): found is Found & { readonly changes: readonly Change[] } {
  return found.changes?.some(({ sql }) => sql !== undefined) ?? false;
}

/** Throws CONFIG_INVALID for changes of a store that takes no SQL. */
function sqlFile(found: readonly Found[]): readonly string[] {
  return found.flatMap((each) => {
    if ((each.changes ?? []).length === 0) return [];
    if (!isSql(each)) {
      throw new UnderstudyError(
        'CONFIG_INVALID',
        `what ${each.region} had of epoch ${each.epoch} is not told in SQL`,
        'Name a file that does not end in .sql: it gets JSON lines.',
      );
    }
    return [`-- ${each.region}, epoch ${each.epoch}: ${stateOf(each)}`, ...sqlLines(each.changes)];
  });
}

function reportLines(found: readonly Found[]): readonly string[] {
  return found.flatMap(({ changes = [], epoch, region }) =>
    changes.map((change) => jsonLine({ region, epoch, ...change })),
  );
}

function stateOf({ discarded, report }: Found): string {
  if (report === undefined) return 'still being collected';
  const size = `${report.changes} changes of ${report.keys} keys, saved ${new Date(report.savedAtMs).toISOString()}`;
  if (discarded === undefined) return size;
  return `${size}; discarded by ${discarded.by} at ${new Date(discarded.atMs).toISOString()}: ${discarded.reason}`;
}
