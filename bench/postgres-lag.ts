import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { LANE_0 } from '#lib/domain/ids.ts';
import { type Head, SMALL_SEGMENT } from '#lib/domain/log.ts';
import { PolledSlot } from '#lib/engines/postgres/polled-slot.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { quantile } from '#lib/local/demo/lag-probe.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { relay } from '#lib/usecases/relay.ts';
import { benchFollower } from './postgres-follower.ts';
import { captureAt, EPOCH, GROUP, withServers } from './postgres-servers.ts';
import type { BenchResult } from './result.ts';

/** Round trips to the own Region's log, and between Regions, ms. */
const NEAR_MS = 5;
const FAR_MS = 80;
/** Between two looks of who polls. */
const POLL_MS = 100;
const IDLE_MS = 5;
const WARM_SECONDS = 2;
const SECONDS = 10;
/** Statements a second. */
const BEATS = 50;
const SCHEMA = 'CREATE TABLE reading (id int PRIMARY KEY, at float8, v text)';

type Mode = 'resident' | 'polling';

/**
 * Lag of capture, relay and apply with 80 ms round trips between the Regions: from the moment before a client sends a
 * statement to the moment at which the follower is seen to have its rows. Each step looks for more as soon as it is done: what
 * an event source adds until it calls a function is not in it. All is on one machine, and in one process but for the servers.
 * Commits wait until they are on disk, as is PostgreSQL's default: where they don't (`synchronous_commit = off`), a slot shows
 * them once the WAL writer has come round, up to 200 ms later.
 */
export async function benchPostgresLag(): Promise<readonly BenchResult[]> {
  const results: BenchResult[] = [];
  for (const mode of ['resident', 'polling'] as const) {
    for (const rate of [1_000, 5_000]) {
      const lags = await lagsAt(mode, rate);
      const goal = mode === 'resident' ? '<= 400' : null;
      const figure = (share: number, name: string, goal: string | null) => {
        const value = Math.round(quantile(lags, share) ?? Number.NaN);
        results.push({ name: `postgres-lag-${mode}-${rate}-${name}-ms`, value, unit: 'ms', goal });
      };
      figure(0.5, 'p50', null);
      figure(0.99, 'p99', goal);
    }
  }
  return results;
}

/** The same log, so many ms away; a segment that travels in its entry takes no trip of its own. */
function away(log: MemoryLog, ms: number): ReplicaLog {
  return new Proxy(log, {
    get: (_, name) => {
      const value = Reflect.get(log, name);
      if (typeof value !== 'function') return value;
      return async (...given: unknown[]) => {
        const [, bytes] = given;
        if (name !== 'putSegment' || (bytes as Uint8Array).length > SMALL_SEGMENT) await sleep(ms);
        return value.apply(log, given);
      };
    },
  });
}

function lagsAt(mode: Mode, rate: number): Promise<readonly number[]> {
  return withServers(async (leaderServer, followerServer) => {
    const clients = [leaderServer, followerServer].map((server) => new pg.Client(server.url()));
    const [leader, follower] = clients as [pg.Client, pg.Client];
    for (const client of clients) {
      await client.connect();
      await client.query(SCHEMA);
    }
    await prepareLeader(leader, 'understudy', 'bench');
    await prepareFollower(follower, 'understudy');
    const logs = { home: new MemoryLog(GROUP, SMALL_SEGMENT), away: new MemoryLog(GROUP, SMALL_SEGMENT) };
    const urls = { leader: leaderServer.url(), follower: followerServer.url() };
    const applier = await benchFollower(urls);
    await applier.begin();
    let pushed: Head | undefined;
    const stop = new AbortController();
    const running = [
      captureOn(mode, urls.leader, away(logs.home, NEAR_MS), stop.signal),
      again(stop.signal, async () => {
        // An entry calls the function, which remembers where the other log ended.
        if (pushed?.lastLsn === (await logs.home.head(LANE_0)).lastLsn) return;
        const [from, to] = [away(logs.home, NEAR_MS), away(logs.away, FAR_MS)];
        ({ head: pushed } = await relay(from, to, LANE_0, EPOCH, pushed));
      }),
      again(stop.signal, () => applier.apply(away(logs.away, NEAR_MS), () => !stop.signal.aborted)),
    ];
    for (const each of running) each.catch((error) => stop.abort(error));
    try {
      return await measure(leader, follower, rate, stop.signal);
    } finally {
      stop.abort();
      await Promise.allSettled(running);
      await applier.close();
      await Promise.all(clients.map((client) => client.end()));
    }
  }, 'on');
}

async function again(signal: AbortSignal, turn: () => Promise<unknown>): Promise<void> {
  while (!signal.aborted) {
    await turn();
    await sleep(IDLE_MS);
  }
}

async function captureOn(mode: Mode, url: string, log: ReplicaLog, signal: AbortSignal): Promise<void> {
  const { deps, slotDeps } = await captureAt(url, 'bench', log);
  if (mode === 'resident') {
    await captureSource(deps, LANE_0, new StreamedSlot(slotDeps), signal);
    return;
  }
  const polled = new PolledSlot(slotDeps);
  while (!signal.aborted) {
    await captureSource(deps, LANE_0, polled, signal);
    await sleep(POLL_MS);
  }
}

/** Lags of the rows that are written after a while, ms. */
async function measure(
  leader: pg.Client,
  follower: pg.Client,
  rate: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const sentMs: number[] = [];
  const rows = rate / BEATS;
  const total = (WARM_SECONDS + SECONDS) * BEATS;
  const lags: number[] = [];
  let seen = 0;
  const watch = async () => {
    while (seen < total * rows) {
      signal.throwIfAborted();
      const { rows: found } = await follower.query<{ id: number | null }>(
        'SELECT max(id) AS id FROM reading',
      );
      const now = performance.now();
      for (const upTo = found[0]?.id ?? 0; seen < upTo; seen += 1) {
        const statement = Math.floor(seen / rows);
        if (statement >= WARM_SECONDS * BEATS) lags.push(now - sentMs[statement]!);
      }
      await sleep(2);
    }
  };
  const watching = watch();
  watching.catch(() => {});
  const began = performance.now();
  for (let statement = 0; statement < total; statement += 1) {
    await sleep(Math.max(0, began + (statement * 1_000) / BEATS - performance.now()));
    sentMs.push(performance.now());
    const first = statement * rows;
    await leader.query(
      `INSERT INTO reading SELECT n, random(), 'a reading of a sensor' FROM generate_series(${first + 1}, ${first + rows}) n`,
    );
  }
  await watching;
  return lags;
}
