import type { RegionId } from '#lib/domain/ids.ts';
import type { Monitor } from './monitor.ts';
import type { Local, SimStore } from './store.ts';

/** The stores: what they hold, against the log of their Region, and how far they truly lag. */
export class DataMonitor {
  readonly #monitor: Monitor;
  readonly #now: () => number;
  readonly #stores = new Map<RegionId, SimStore>();
  readonly #attachedMs = new Map<RegionId, number>();
  readonly #reported = new Set<number>();

  constructor(monitor: Monitor, now: () => number) {
    this.#monitor = monitor;
    this.#now = now;
  }

  watch(store: SimStore): void {
    this.#stores.set(store.region, store);
  }

  /**
   * A store has applied what its log holds after `from`, up to `to`: each change once, each transaction whole.
   *
   * @param grown how many changes it has that it had not before.
   */
  applied(region: RegionId, from: bigint, to: bigint, grown: number): void {
    const { counts, log } = this.#monitor;
    const { times } = this.#stores.get(region)!.table;
    const { entries } = log.of(region);
    let expected = 0;
    for (let at = Math.max(0, log.indexFrom(region, from + 1n) - 1); at < entries.length; at += 1) {
      const entry = entries[at]!;
      if (entry.first > to) break;
      for (const [index, { id, uid, first, size }] of log.changes.get(entry.hash)!.entries()) {
        const lsn = entry.first + BigInt(index);
        if (id === 0 || lsn <= from || lsn > to) continue;
        expected += 1;
        const count = times.get(uid) ?? 0;
        if (count !== 1) this.#monitor.violated(5, `${region}: LSN ${lsn} was applied ${count} times`);
        if (uid !== first || size === 1) continue;
        counts.transactions += 1;
        const seen = membersOf({ first, size }).filter((each) => times.has(each));
        if (seen.length < size)
          this.#monitor.violated(
            5,
            `${region}: ${seen.length} of ${size} changes of a transaction at LSN ${lsn}`,
          );
      }
    }
    if (grown !== expected)
      this.#monitor.violated(
        5,
        `${region}: ${grown} changes for LSN ${from} to ${to}, which are ${expected}`,
      );
  }

  /** A store is said to hold its Region's log up to an LSN. */
  positioned(region: RegionId, upTo: bigint): void {
    this.#isExactly(region, this.#monitor.log.contentOf(region, upTo), `at LSN ${upTo}`);
  }

  attached(region: RegionId): void {
    this.#attachedMs.set(region, this.#now());
  }

  /**
   * A follower has said that somebody else wrote to its store. For a write which came after it had been attached, that is
   * all there is to do: nobody was told that it was taken.
   */
  reported(region: RegionId, local: readonly Local[]): void {
    const sinceMs = this.#attachedMs.get(region) ?? 0;
    for (const { atMs, uid } of local) if (atMs >= sinceMs) this.#reported.add(uid);
  }

  /** All logs end alike, and all of them is applied. */
  settled(leader: RegionId, replicas: readonly RegionId[]): void {
    const { log } = this.#monitor;
    const content = log.contentOf(leader, log.lastOf(leader));
    const unlogged = this.#unlogged(leader).flatMap(({ id, uid }) => (id > 0 ? [uid] : []));
    for (const region of replicas) {
      const own = region === leader ? [...content, ...unlogged] : content;
      this.#isExactly(region, own, 'once all is settled');
    }
  }

  #isExactly(region: RegionId, content: readonly number[], when: string): void {
    const { times } = this.#stores.get(region)!.table;
    const wrong = content.find((uid) => times.get(uid) !== 1);
    if (wrong !== undefined) {
      this.#monitor.violated(5, `${region} has change ${wrong} ${times.get(wrong) ?? 0} times ${when}`);
    } else if (times.size !== content.length) {
      const known = new Set(content);
      const extra = [...times.keys()].filter((uid) => !known.has(uid) && !this.#reported.has(uid));
      if (extra.length === 0) return;
      this.#monitor.violated(
        5,
        `${region} has changes that its log has not ${when}: ${extra.slice(0, 5).join(', ')}`,
      );
    }
  }

  /** How far the log of a Region, or its store, which is at `lsn`, is behind the leader now. */
  lagOf(leader: RegionId, lsn: bigint): { readonly records: bigint; readonly ms: number } {
    const { log } = this.#monitor;
    const end = log.lastOf(leader);
    let oldest: Local | undefined;
    if (lsn >= end) oldest = this.#unlogged(leader)[0];
    else {
      const entry = log.of(leader).entries[log.indexFrom(leader, lsn + 1n)];
      oldest = entry && log.changes.get(entry.hash)![0];
    }
    return {
      records: end > lsn ? end - lsn : 0n,
      ms: oldest === undefined ? 0 : this.#now() - oldest.atMs,
    };
  }

  /** Local changes of a Region that its log has not yet. */
  #unlogged(region: RegionId): readonly Local[] {
    const { log } = this.#monitor;
    const own = log.of(region).newest.get(region) ?? 0;
    return this.#stores.get(region)!.pending.filter(({ uid }) => uid > own);
  }
}

function membersOf({ first, size }: Pick<Local, 'first' | 'size'>): readonly number[] {
  return Array.from({ length: size }, (_, index) => first + index);
}
