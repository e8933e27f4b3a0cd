import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Monitor } from './monitor.ts';

/** A write that an application was told is done. */
export type Acked = {
  readonly id: number;
  readonly region: RegionId;
  readonly epoch: number;
  readonly atMs: number;
};

/** When a leader was elected, and the loss that was reported for it. */
export type Election = {
  readonly rpo: { readonly records: number | null; readonly ms: number | null };
  readonly atMs: number;
};

/** What was acknowledged, and what a failover loses of it. */
export class LossMonitor {
  readonly #monitor: Monitor;
  #acked: Acked[] = [];

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
  }

  acked(write: Acked): void {
    this.#monitor.counts.acked += 1;
    this.#acked.push(write);
    // What is in the log is looked up at the next election only: a quiet day must not keep every write.
    if (this.#acked.length > 4_000) {
      const leader = this.#monitor.register?.leader;
      if (leader === undefined) return;
      const { log } = this.#monitor;
      const held = this.#heldBy(leader);
      const everywhere = [...log.logs.keys()].every((region) => log.endOf(region) === log.endOf(leader));
      if (everywhere) this.#acked = this.#acked.filter(({ id }) => !held.has(id));
    }
  }

  /** Everything acknowledged before the election that the new leader's log does not hold is lost, and was foretold. */
  check(epoch: Epoch, leader: RegionId, election: Election): void {
    const held = this.#heldBy(leader);
    const before = this.#acked.filter((each) => each.atMs <= election.atMs);
    const lost = before.filter(({ id }) => !held.has(id));
    this.#acked = this.#acked.filter((each) => each.atMs > election.atMs);
    this.#monitor.counts.lost += lost.length;
    const { records, ms } = election.rpo;
    const spanMs = Math.max(...before.map(({ atMs }) => atMs)) - Math.min(...lost.map(({ atMs }) => atMs));
    if (ms !== null && spanMs > ms) {
      this.#monitor.violated(6, `epoch ${epoch} lost writes of ${spanMs} ms; at most ${ms} ms were reported`);
    }
    if (records !== null && records > 0) {
      this.#monitor.counts.bounded += 1;
      this.#monitor.counts.slack += records - lost.length;
    }
    if (records !== null && lost.length > records) {
      const some = lost.slice(0, 5);
      const ids = some.map(({ id, region, atMs }) => `${id} at ${region} at ${Math.round(atMs)}`).join(', ');
      this.#monitor.violated(
        6,
        `epoch ${epoch} lost ${lost.length} acknowledged records (${ids}${lost.length > some.length ? ', …' : ''}); at most ${records} were reported`,
      );
    }
  }

  /** Ids of the writes that the log of a Region holds. */
  #heldBy(region: RegionId): ReadonlySet<number> {
    const { changes, of } = this.#monitor.log;
    return new Set(of(region).entries.flatMap(({ hash }) => changes.get(hash)!.map(({ id }) => id)));
  }
}
