import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Entry, Head } from '#lib/domain/log.ts';
import { type Epoch, type Lsn, sortableLsn } from '#lib/domain/lsn.ts';
import type { Mark, Marks } from '#lib/domain/marks.ts';

/*
 * The items of a log table. Partition key `lane` = `<group>#<lane>`; sort key `at` = `head`, or `entry#` and the
 * first LSN in 20 digits. `v` is the version of the item's shape. `segment` (binary) of an entry is the segment itself, where
 * that is small.
 */
export const HEAD = 'head';

export function entryKey(first: Lsn): string {
  return `entry#${sortableLsn(first)}`;
}

type SdkItem = Record<string, AttributeValue>;

/** Of the shape of heads and entries. */
export const VERSION = '1';

const number = z.object({ N: z.string().regex(/^\d+$/) });
const integer = number.transform(({ N }) => Number(N));
const bigint = number.transform(({ N }) => BigInt(N));
const lsn = bigint.transform((value) => value as Lsn);
const epoch = integer.transform((value) => value as Epoch);
const hash = z.object({ S: z.string().regex(/^[0-9a-f]{64}$/) }).transform(({ S }) => S);
const mark = z
  .object({ M: z.object({ s: z.object({ S: z.string() }), t: integer, b: integer.exactOptional() }) })
  .transform(
    ({ M: { s, t, b } }): Mark => ({ sequence: s.S, atMs: t, ...(b !== undefined && { beatMs: b }) }),
  );
const marks = z.object({ M: z.record(z.string(), mark) }).transform(({ M }): Marks => M);
const version = z.object({ N: z.literal(VERSION) });

const headSchema = z
  .object({
    v: version,
    firstLsn: lsn,
    lastLsn: lsn,
    lastEpoch: epoch,
    sealedEpoch: epoch,
    chain: hash,
    totalBytes: bigint,
    lastCommitMs: integer,
    marks,
    generation: integer,
    unlinkedAtMs: integer,
  })
  .transform(({ v: _, ...head }): Head => head);

const entrySchema = z
  .object({
    v: version,
    first: lsn,
    count: integer,
    bytes: integer,
    epoch,
    hash,
    prev: hash,
    chain: hash,
    totalBytes: bigint,
    minCommitMs: integer,
    maxCommitMs: integer,
    marks,
    segment: z
      .object({ B: z.instanceof(Uint8Array) })
      .transform(({ B }) => B)
      .exactOptional(),
  })
  .transform(({ v: _, ...entry }): Entry => entry);

/** Throws STORED_ITEM_INVALID for anything but a head of a known version. */
export function readHead(item: SdkItem): Head {
  return read(headSchema, item);
}

/** Throws STORED_ITEM_INVALID for anything but an entry of a known version. */
export function readEntry(item: SdkItem): Entry {
  return read(entrySchema, item);
}

export function headAttributes(head: Head): SdkItem {
  return {
    v: { N: VERSION },
    firstLsn: { N: `${head.firstLsn}` },
    lastLsn: { N: `${head.lastLsn}` },
    lastEpoch: { N: `${head.lastEpoch}` },
    sealedEpoch: { N: `${head.sealedEpoch}` },
    chain: { S: head.chain },
    totalBytes: { N: `${head.totalBytes}` },
    lastCommitMs: { N: `${head.lastCommitMs}` },
    marks: writeMarks(head.marks),
    generation: { N: `${head.generation}` },
    unlinkedAtMs: { N: `${head.unlinkedAtMs}` },
  };
}

export function entryAttributes(entry: Entry): SdkItem {
  return {
    v: { N: VERSION },
    first: { N: `${entry.first}` },
    count: { N: `${entry.count}` },
    bytes: { N: `${entry.bytes}` },
    epoch: { N: `${entry.epoch}` },
    hash: { S: entry.hash },
    prev: { S: entry.prev },
    chain: { S: entry.chain },
    totalBytes: { N: `${entry.totalBytes}` },
    minCommitMs: { N: `${entry.minCommitMs}` },
    maxCommitMs: { N: `${entry.maxCommitMs}` },
    marks: writeMarks(entry.marks),
    ...(entry.segment && { segment: { B: entry.segment } }),
  };
}

function writeMarks(value: Marks): AttributeValue {
  const shards = Object.entries(value).map(([shard, { sequence, atMs, beatMs }]) => [
    shard,
    {
      M: { s: { S: sequence }, t: { N: `${atMs}` }, ...(beatMs !== undefined && { b: { N: `${beatMs}` } }) },
    },
  ]);
  return { M: Object.fromEntries(shards) };
}

function read<T>(schema: z.ZodType<T>, item: SdkItem): T {
  const parsed = schema.safeParse(item);
  if (parsed.success) return parsed.data;
  throw new UnderstudyError(
    'STORED_ITEM_INVALID',
    `item ${item.lane?.S ?? '?'} ${item.at?.S ?? '?'} of the log table is not as this release writes it: ${z.prettifyError(parsed.error)}`,
    'Deploy the release that wrote it, or a newer one; never edit items of the log table by hand.',
    { cause: parsed.error },
  );
}
