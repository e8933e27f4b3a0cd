import { readFile } from 'node:fs/promises';
import { type Connection, connect, regionOf } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { table } from '#lib/cli/table.ts';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, lastOf } from '#lib/domain/log.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { type KeySchema, tableOf } from '#lib/domain/topology.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';

type LogOptions = GroupChoice & { region?: string; json?: boolean };

/** `understudy log ls`: entries of a Region's log. */
export async function logLsCommand(options: LogOptions & { from?: string; limit?: string }): Promise<number> {
  const { connection, region } = await open(options);
  try {
    const from = parseLsn(options.from ?? '1');
    const entries = await connection.peers.log(region).entries(LANE_0, from, limitOf(options.limit));
    if (options.json) {
      for (const { segment: _, ...entry } of entries) console.log(JSON.stringify(entry, withText));
    } else {
      const head = ['first LSN', 'last LSN', 'epoch', 'bytes', 'newest commit', 'segment', 'chain'];
      for (const line of table(head, entries.map(row))) console.log(line);
      const end = await connection.peers.log(region).head(LANE_0);
      console.log(
        `${region}: the log holds LSN ${end.firstLsn} to ${end.lastLsn}, sealed at epoch ${end.sealedEpoch}`,
      );
    }
    return 0;
  } finally {
    connection.close();
  }
}

/** `understudy log cat`: the records of the segment that holds an LSN, or of a segment file, as JSON lines. */
export async function logCatCommand(
  lsn: string | undefined,
  options: LogOptions & { file?: string },
): Promise<number> {
  if (options.file !== undefined) {
    printRecords(await readSegmentFile(options.file), undefined, undefined);
    return 0;
  }
  const { connection, region } = await open(options);
  try {
    const log = connection.peers.log(region);
    const wanted = lsn === undefined ? (await log.head(LANE_0)).lastLsn : parseLsn(lsn);
    const entry = await log.entryAt(LANE_0, wanted);
    if (entry === undefined) {
      const end = await log.head(LANE_0);
      throw new UnderstudyError(
        'CONFIG_INVALID',
        `the log of ${region} does not hold LSN ${wanted}`,
        `It holds ${end.firstLsn} to ${end.lastLsn}.`,
      );
    }
    printRecords(await log.getSegment(entry), entry, tableOf(connection.config).key);
    return 0;
  } finally {
    connection.close();
  }
}

async function readSegmentFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `${path} cannot be read`,
      'Give the path of a segment file.',
      {
        cause,
      },
    );
  }
}

async function open(options: LogOptions): Promise<{ connection: Connection; region: RegionId }> {
  const connection = await connect(options, 'data');
  const region = options.region
    ? regionOf(connection.config, options.region)
    : (await connection.role()).leader;
  return { connection, region };
}

function row(entry: Entry): readonly string[] {
  return [
    `${entry.first}`,
    `${lastOf(entry)}`,
    `${entry.epoch}`,
    `${entry.bytes}`,
    new Date(entry.maxCommitMs).toISOString(),
    entry.hash.slice(0, 16),
    entry.chain.slice(0, 16),
  ];
}

/** LSNs need an entry; keys are named by a key schema. Without them, positions within the segment and raw keys. */
function printRecords(bytes: Uint8Array, entry: Entry | undefined, key: KeySchema | undefined): void {
  const segment = openSegment(bytes);
  const decoder = new ItemDecoder(segment.info.schema);
  segment.forEach((record, ordinal) => {
    const after = record.after && decoder.item(record.after);
    const before = record.before && decoder.before(record.before, after);
    console.log(
      JSON.stringify({
        ...(entry ? { lsn: `${entry.first + BigInt(ordinal)}`, epoch: entry.epoch } : { ordinal }),
        kind: record.kind,
        table: segment.info.tables[record.table],
        shard: segment.info.shards[record.shard],
        sequence: record.sequence,
        commitMs: record.commitMs,
        key: key ? exported(decoder.key(record.key, key)) : Buffer.from(record.key).toString('base64'),
        ...(after && { after: exported(after) }),
        ...(before && { before: exported(before) }),
      }),
    );
  });
}

/** An item in DynamoDB JSON: binary as base64. */
function exported(item: Item): Item {
  return JSON.parse(
    JSON.stringify(item, (_, value: AttributeValue | Uint8Array) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
    ),
  );
}

function withText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function limitOf(text = '50'): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit > 0 && limit <= 10_000) return limit;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `--limit ${text} is not valid`,
    'Give a whole number from 1 to 10000.',
  );
}
