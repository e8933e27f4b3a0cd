import type { RegionId } from '#lib/domain/ids.ts';
import { type Entry, lastOf } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Monitor } from './monitor.ts';
import type { Local } from './store.ts';

/** What a log is known to hold: kept beside the log itself, so that a broken log can't hide it. */
type LogShadow = {
  sealed: number;
  /** Where the log starts over from after a rebase. */
  base: { readonly lsn: bigint; readonly chain: string | undefined; readonly content: readonly number[] };
  entries: Entry[];
  /** Number of the newest change of each Region's stream that was ever put in. */
  readonly newest: Map<string, number>;
};

/** The logs: seals, order, chain, and what is taken off them. */
export class LogMonitor {
  readonly #monitor: Monitor;
  readonly logs = new Map<RegionId, LogShadow>();
  /** The changes of a segment, by its hash. */
  readonly changes = new Map<string, readonly Local[]>();
  /** Ids of writes in a Region's reports of what diverged. */
  readonly reported = new Map<RegionId, Set<string>>();

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
  }

  readonly of = (region: RegionId): LogShadow => {
    let shadow = this.logs.get(region);
    if (shadow === undefined) {
      shadow = {
        sealed: 0,
        base: { lsn: 0n, chain: undefined, content: [] },
        entries: [],
        newest: new Map(),
      };
      this.logs.set(region, shadow);
    }
    return shadow;
  };

  sealed(region: RegionId, epoch: number): void {
    const log = this.of(region);
    log.sealed = Math.max(log.sealed, epoch);
  }

  appended(region: RegionId, entries: readonly Entry[], authority: Epoch): void {
    const log = this.of(region);
    if (authority < log.sealed) {
      this.#monitor.violated(
        2,
        `${region}: an append by epoch ${authority} committed below the seal of ${log.sealed}`,
      );
    }
    log.sealed = Math.max(log.sealed, authority);
    for (const entry of entries) {
      const last = log.entries.at(-1);
      const at = this.lastOf(region);
      const chain = last?.chain ?? log.base.chain;
      if (entry.first !== at + 1n)
        this.#monitor.violated(4, `${region}: LSN ${entry.first} was appended after ${at}`);
      if (chain !== undefined && entry.prev !== chain)
        this.#monitor.violated(4, `${region}: the chain broke at LSN ${entry.first}`);
      if (last !== undefined && entry.epoch < last.epoch)
        this.#monitor.violated(4, `${region}: the epoch went back at LSN ${entry.first}`);
      log.entries.push(entry);
      for (const [shard, { sequence }] of Object.entries(entry.marks)) {
        log.newest.set(shard.split('/')[0]!, Number(sequence));
      }
    }
  }

  rewound(region: RegionId, to: bigint): void {
    const log = this.of(region);
    while (log.entries.length > 0 && lastOf(log.entries.at(-1)!) > to) {
      this.#dropped(region, log.entries.pop()!);
    }
  }

  rebased(region: RegionId, onto: { lsn: bigint; chain: string }): void {
    const log = this.of(region);
    const base = { lsn: onto.lsn, chain: onto.chain, content: this.contentAt(onto.chain) };
    // Entries that the other log holds too are not lost; the others must be in a report.
    const elsewhere = new Set(
      [...this.logs]
        .filter(([at]) => at !== region)
        .flatMap(([, { entries }]) => entries.map((e) => e.chain)),
    );
    for (const entry of log.entries) if (!elsewhere.has(entry.chain)) this.#dropped(region, entry);
    log.entries = [];
    log.base = base;
  }

  #dropped(region: RegionId, entry: Entry): void {
    const ids = this.changes.get(entry.hash)!.flatMap(({ id }) => (id > 0 ? [id] : []));
    const reported = this.reported.get(region);
    this.#monitor.counts.divergent += ids.length;
    for (const id of ids) {
      if (!reported?.has(`${id}`)) {
        this.#monitor.violated(
          11,
          `${region}: record ${id} of LSN ${entry.first} was unlinked before it was reported`,
        );
      }
    }
  }

  /** True if the log has this very entry. */
  holds(region: RegionId, entry: Entry): boolean {
    const { entries } = this.of(region);
    return entries[this.indexFrom(region, entry.first)]?.chain === entry.chain;
  }

  /** Index of the first entry of a Region's log that begins at `lsn` or later. */
  indexFrom(region: RegionId, lsn: bigint): number {
    const { entries } = this.of(region);
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries[middle]!.first < lsn) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The chain at the end of a Region's log; undefined while nobody has appended to it. */
  endOf(region: RegionId): string | undefined {
    const { base, entries } = this.of(region);
    return entries.at(-1)?.chain ?? base.chain;
  }

  /** LSN at the end of a Region's log. */
  lastOf(region: RegionId): bigint {
    const { base, entries } = this.of(region);
    const last = entries.at(-1);
    return last === undefined ? base.lsn : lastOf(last);
  }

  /** Numbers of all changes but canaries up to an LSN of a Region's log. */
  contentOf(region: RegionId, upTo: bigint): number[] {
    const { base, entries } = this.of(region);
    const content = [...base.content];
    for (const entry of entries) {
      if (entry.first > upTo) break;
      for (const [index, { id, uid }] of this.changes.get(entry.hash)!.entries()) {
        if (id > 0 && entry.first + BigInt(index) <= upTo) content.push(uid);
      }
    }
    return content;
  }

  /** Numbers of all changes but canaries of whichever log has this chain, up to there. */
  contentAt(chain: string): readonly number[] {
    for (const [region, { base, entries }] of this.logs) {
      if (base.chain === chain) return base.content;
      const entry = entries.find((each) => each.chain === chain);
      if (entry !== undefined) return this.contentOf(region, lastOf(entry));
    }
    return [];
  }

  /** A Region says that its log is a prefix of the log of `epoch`. */
  attached(region: RegionId, epoch: Epoch): void {
    const { leadership } = this.#monitor;
    const leader = leadership.installed.get(epoch);
    if (leader === undefined || leader === region || this.#monitor.register?.epoch !== epoch) return;
    const end = this.endOf(region);
    const theirs = this.of(leader);
    const known =
      end === undefined || theirs.base.chain === end || theirs.entries.some(({ chain }) => chain === end);
    if (known) return;
    this.#monitor.violated(
      5,
      `${region} follows ${leader} in epoch ${epoch} with a log that is no prefix of its`,
    );
  }
}
