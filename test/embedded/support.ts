import { setTimeout as pause } from 'node:timers/promises';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { LANE_0, parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { continues, type Entry, emptyHead, lastOf } from '#lib/domain/log.ts';
import { advance } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { type KeySchema, parseGroup } from '#lib/domain/topology.ts';
import { DynamoDigest } from '#lib/engines/dynamodb/dynamo-digest.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import type { LinkSettings } from '#lib/local/link.ts';
import { verify } from '#lib/usecases/verify.ts';

export const EU = parseRegionId('eu-west-1');
export const US = parseRegionId('us-east-1');
export const AP = parseRegionId('ap-southeast-1');

const KEY: KeySchema = [{ name: 'id', type: 'S' }];
export const GROUP = parseGroupId('test');

/** Three Regions with EU as the leader; what they report is kept. */
export async function startCloud(
  options: {
    readonly follows?: Partial<Record<RegionId, RegionId>>;
    readonly link?: Partial<LinkSettings>;
  } = {},
): Promise<{ cloud: EmbeddedCloud; peers: AwsPeers; reports: string[] }> {
  const reports: string[] = [];
  const group = parseGroup({
    group: GROUP,
    engine: { kind: 'dynamodb', table: 'orders', key: KEY },
    regions: [EU, US, AP].map((name) => ({ name, follows: options.follows?.[name] })),
  });
  const cloud = await EmbeddedCloud.start({
    group,
    leader: EU,
    link: { forwardMs: 5, backMs: 5, ...options.link },
    onMessage: ({ region, message }) => {
      const { line } = message as { line?: string };
      reports.push(`${region} ${line ?? JSON.stringify(message)}`);
    },
  });
  return { cloud, peers: cloud.peers(), reports };
}

/** Waits until `isSo`; fails with `what` when it takes too long. A server that is down is asked again. */
export async function until(what: string, isSo: () => Promise<boolean>, boundMs = 60_000): Promise<void> {
  const deadline = performance.now() + boundMs;
  let last: unknown;
  for (;;) {
    try {
      if (await isSo()) return;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(`Still not so after ${boundMs} ms: ${what}`, { cause: last });
    await pause(25);
  }
}

/**
 * Waits until the followers have applied a heartbeat that the leader wrote after this call; all earlier writes are
 * applied with it, for a table has one shard here.
 */
export async function untilCaughtUp(peers: AwsPeers, followers: readonly RegionId[]): Promise<void> {
  const sinceMs = Date.now();
  for (const region of followers) {
    await until(`${region} has caught up`, async () => {
      const { applied, snapshot } = await peers.control(region).applyState(LANE_0);
      return applied !== undefined && applied.commitMs > sinceMs && snapshot === undefined;
    });
  }
}

/** The keys in which a follower differs from the leader. */
export async function differences(peers: AwsPeers, follower: RegionId): Promise<readonly string[]> {
  const source = (region: RegionId) => new DynamoDigest({ store: peers.store(region), key: KEY });
  const verified = await verify(source(EU), source(follower), { rechecks: 0, pause: async () => {} });
  return verified.differences.map(({ key, kind }) => `${kind} ${key}`);
}

/** All entries of a Region's log up to its head as first read, checked to be contiguous and chained. */
export async function checkedEntries(peers: AwsPeers, region: RegionId): Promise<readonly Entry[]> {
  const log = peers.log(region);
  const end = await log.head(LANE_0);
  const entries: Entry[] = [];
  for (let from = end.firstLsn; from <= end.lastLsn; ) {
    const page = await log.entries(LANE_0, from, 200);
    if (page.length === 0)
      throw new Error(`The log of ${region} breaks off before LSN ${from} of ${end.lastLsn}`);
    // The log goes on growing: what has come since the head was read is left out.
    entries.push(...page.filter((entry) => entry.first <= end.lastLsn));
    from = advance(lastOf(page.at(-1)!), 1);
  }
  const first = entries[0];
  const start = emptyHead(GROUP, LANE_0);
  const before =
    first === undefined || first.first === 1n
      ? start
      : {
          ...start,
          lastLsn: advance(first.first, -1),
          chain: first.prev,
          totalBytes: first.totalBytes - BigInt(first.bytes),
        };
  if (!continues(before, entries)) throw new Error(`The log of ${region} is not contiguous and chained`);
  if ((entries.at(-1) ?? end).chain !== end.chain)
    throw new Error(`The log of ${region} does not end at its head`);
  return entries;
}

/** Source positions of all records of a log, in its order. */
export async function loggedSequences(peers: AwsPeers, region: RegionId): Promise<readonly string[]> {
  return (await logged(peers, region)).map(({ sequence }) => sequence);
}

/** Key and source position of all records of a log, in its order. */
export async function logged(
  peers: AwsPeers,
  region: RegionId,
): Promise<readonly { readonly id: string; readonly shard: string; readonly sequence: string }[]> {
  const records: { id: string; shard: string; sequence: string }[] = [];
  for (const entry of await checkedEntries(peers, region)) {
    const segment = openSegment(await peers.log(region).getSegment(entry));
    const decoder = new ItemDecoder(segment.info.schema);
    segment.forEach(({ key, sequence, shard }) => {
      const { id } = decoder.key(key, KEY);
      records.push({ id: (id as { S: string }).S, shard: segment.info.shards[shard]!, sequence });
    });
  }
  return records;
}

/** A sequence of numbers from 0 to 1 that a seed decides (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
