import { type Acceptor, type Ballot, epochOf, majorityOf } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Entry, lastOf } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/** The first rule that a run broke: the number of the invariant in the design, and what was seen. */
export type Violation = { readonly invariant: number; readonly text: string; readonly atMs: number };

/** What a log is known to hold: kept beside the log itself, so that a broken log can't hide it. */
export type LogShadow = {
  sealed: number;
  /** Where the log starts over from after a rebase. */
  base: { lsn: bigint; chain: string | undefined };
  entries: Entry[];
};

/** A write that an application was told is done. */
export type Acked = {
  readonly id: number;
  readonly region: RegionId;
  readonly epoch: number;
  readonly atMs: number;
};

type Chosen = { readonly ballot: Ballot; readonly value: Register };
export type Loss = { readonly records: number | null; readonly ms: number | null };

/** Sees every effect on stored items, and holds it against the invariants. */
export class Monitor {
  readonly #members: readonly RegionId[];
  readonly #now: () => number;
  /** Of the elections by run: the loss that was reported and whether the winner was eligible. */
  readonly elections = new Map<string, { winner: RegionId; eligible: boolean; rpo: Loss; atMs: number }>();
  readonly #ballots = new Map<Ballot, { value: Register; text: string; regions: Set<RegionId> }>();
  readonly #chosen: Chosen[] = [];
  /** Leaders by epoch that some Region has accepted: a Region goes by them before a majority is known to have. */
  readonly #proposed = new Map<number, RegionId>();
  /** Leaders by epoch that a majority agreed on. */
  readonly installed = new Map<number, RegionId>();
  readonly logs = new Map<RegionId, LogShadow>();
  /** Ids of the records of a segment, by its hash. */
  readonly records = new Map<string, readonly number[]>();
  readonly reported = new Map<RegionId, Set<string>>();
  #acked: Acked[] = [];
  violation: Violation | undefined;
  readonly counts = { installed: 0, acked: 0, lost: 0, divergent: 0, failovers: 0, bounded: 0, slack: 0 };

  constructor(members: readonly RegionId[], now: () => number) {
    this.#members = members;
    this.#now = now;
  }

  violated(invariant: number, text: string): void {
    this.violation ??= { invariant, text, atMs: this.#now() };
  }

  /** The value in force, as far as a majority is known to have accepted it. */
  get register(): Register | undefined {
    return this.#chosen.at(-1)?.value;
  }

  accepted(region: RegionId, ballot: Ballot, value: Register): void {
    const text = JSON.stringify(value);
    const { epoch, leader } = value;
    if (value.phase === 'leading') {
      const other = this.#proposed.get(epoch) ?? leader;
      if (other !== leader) this.violated(1, `epoch ${epoch} got two leaders: ${other} and ${leader}`);
      this.#proposed.set(epoch, leader);
    }
    let known = this.#ballots.get(ballot);
    if (known === undefined) {
      known = { value, text, regions: new Set() };
      this.#ballots.set(ballot, known);
      if (this.#ballots.size > 400) this.#ballots.delete(this.#ballots.keys().next().value!);
    }
    if (known.text !== text) {
      this.violated(1, `ballot ${ballot} carries two values: ${known.text} and ${text}`);
      return;
    }
    known.regions.add(region);
    if (known.regions.size === majorityOf(this.#members.length)) this.#choose({ ballot, value });
  }

  #choose(chosen: Chosen): void {
    const list = this.#chosen;
    let at = list.length;
    while (at > 0 && (list[at - 1] as Chosen).ballot > chosen.ballot) at -= 1;
    list.splice(at, 0, chosen);
    this.#follows(list[at - 1]?.value, chosen.value);
    this.#follows(chosen.value, list[at + 1]?.value);
    if (list.length > 100) list.shift();
    if (chosen.value.phase === 'leading') this.#install(chosen.value);
  }

  #follows(before: Register | undefined, after: Register | undefined): void {
    if (before === undefined || after === undefined) return;
    const told = `${JSON.stringify(before)} and then ${JSON.stringify(after)} were chosen`;
    if (after.epoch < before.epoch) this.violated(1, `the epoch went back: ${told}`);
    if (after.epoch !== before.epoch) return;
    if (after.run !== before.run) this.violated(8, `two runs held one epoch: ${told}`);
    if (before.phase === 'leading' && after.phase !== 'leading')
      this.violated(1, `a leader was uninstalled: ${told}`);
  }

  #install({ epoch, leader, run }: Register): void {
    const known = this.installed.get(epoch);
    if (known === leader) return;
    if (known !== undefined) {
      this.violated(1, `epoch ${epoch} got two leaders: ${known} and ${leader}`);
      return;
    }
    this.installed.set(epoch, leader);
    this.counts.installed += 1;
    const election = this.elections.get(run);
    if (election === undefined) {
      if (epoch > 1) this.violated(10, `${leader} leads epoch ${epoch} without an election`);
      return;
    }
    if (election.winner !== leader)
      this.violated(10, `${leader} was installed, but ${election.winner} was elected`);
    if (!election.eligible) this.violated(10, `${leader} was installed, but was not eligible`);
    this.#checkLoss(epoch, leader, election);
  }

  /** Everything acknowledged before the election that the new leader's log does not hold is lost, and was foretold. */
  #checkLoss(epoch: Epoch, leader: RegionId, election: { rpo: Loss; atMs: number }): void {
    const held = new Set(this.log(leader).entries.flatMap(({ hash }) => this.records.get(hash) ?? []));
    const before = this.#acked.filter((each) => each.atMs <= election.atMs);
    const lost = before.filter(({ id }) => !held.has(id));
    this.#acked = this.#acked.filter((each) => each.atMs > election.atMs);
    this.counts.lost += lost.length;
    const { records, ms } = election.rpo;
    const spanMs = Math.max(...before.map(({ atMs }) => atMs)) - Math.min(...lost.map(({ atMs }) => atMs));
    if (ms !== null && spanMs > ms) {
      this.violated(6, `epoch ${epoch} lost writes of ${spanMs} ms; at most ${ms} ms were reported`);
    }
    if (records !== null && records > 0) {
      this.counts.bounded += 1;
      this.counts.slack += records - lost.length;
    }
    if (records !== null && lost.length > records) {
      const ids = lost.map(({ id, region, atMs }) => `${id} at ${region} at ${Math.round(atMs)}`).join(', ');
      this.violated(
        6,
        `epoch ${epoch} lost ${lost.length} acknowledged records (${ids}); at most ${records} were reported`,
      );
    }
  }

  acked(write: Acked): void {
    this.counts.acked += 1;
    this.#acked.push(write);
    // What is in the log is looked up at the next election only: a quiet day must not keep every write.
    if (this.#acked.length > 4_000) {
      const leader = this.register?.leader;
      if (leader === undefined) return;
      const held = new Set(this.log(leader).entries.flatMap(({ hash }) => this.records.get(hash) ?? []));
      const everywhere = [...this.logs.values()].every(
        (log) => log.entries.at(-1)?.chain === this.log(leader).entries.at(-1)?.chain,
      );
      if (everywhere) this.#acked = this.#acked.filter(({ id }) => !held.has(id));
    }
  }

  log(region: RegionId): LogShadow {
    let shadow = this.logs.get(region);
    if (shadow === undefined) {
      shadow = { sealed: 0, base: { lsn: 0n, chain: undefined }, entries: [] };
      this.logs.set(region, shadow);
    }
    return shadow;
  }

  sealed(region: RegionId, epoch: number): void {
    const log = this.log(region);
    log.sealed = Math.max(log.sealed, epoch);
  }

  appended(region: RegionId, entries: readonly Entry[], authority: Epoch): void {
    const log = this.log(region);
    if (authority < log.sealed) {
      this.violated(
        2,
        `${region}: an append by epoch ${authority} committed below the seal of ${log.sealed}`,
      );
    }
    log.sealed = Math.max(log.sealed, authority);
    for (const entry of entries) {
      const last = log.entries.at(-1);
      const at = last === undefined ? log.base.lsn : lastOf(last);
      const chain = last?.chain ?? log.base.chain;
      if (entry.first !== at + 1n) this.violated(4, `${region}: LSN ${entry.first} was appended after ${at}`);
      if (chain !== undefined && entry.prev !== chain)
        this.violated(4, `${region}: the chain broke at LSN ${entry.first}`);
      if (last !== undefined && entry.epoch < last.epoch)
        this.violated(4, `${region}: the epoch went back at LSN ${entry.first}`);
      log.entries.push(entry);
    }
  }

  rewound(region: RegionId, to: bigint): void {
    const log = this.log(region);
    while (log.entries.length > 0 && lastOf(log.entries.at(-1)!) > to) {
      this.#dropped(region, log.entries.pop()!);
    }
  }

  rebased(region: RegionId, onto: { lsn: bigint; chain: string }): void {
    const log = this.log(region);
    // Entries that the other log holds too are not lost; the others must be in a report.
    const elsewhere = new Set(
      [...this.logs]
        .filter(([at]) => at !== region)
        .flatMap(([, { entries }]) => entries.map((e) => e.chain)),
    );
    for (const entry of log.entries) if (!elsewhere.has(entry.chain)) this.#dropped(region, entry);
    log.entries = [];
    log.base = { lsn: onto.lsn, chain: onto.chain };
  }

  #dropped(region: RegionId, entry: Entry): void {
    const ids = (this.records.get(entry.hash) ?? []).filter((id) => id > 0);
    const reported = this.reported.get(region);
    this.counts.divergent += ids.length;
    for (const id of ids) {
      if (!reported?.has(`${id}`)) {
        this.violated(
          11,
          `${region}: record ${id} of LSN ${entry.first} was unlinked before it was reported`,
        );
      }
    }
  }

  named(region: RegionId, epoch: Epoch, leader: RegionId): void {
    const proposed = this.#proposed.get(epoch);
    if (proposed !== leader) {
      this.violated(
        3,
        `${region} was told that ${leader} leads epoch ${epoch}, but ${proposed ?? 'nobody'} was to be installed`,
      );
    }
  }

  /** True if the log has this very entry. */
  holds(region: RegionId, entry: Entry): boolean {
    const { entries } = this.log(region);
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries[middle]!.first < entry.first) low = middle + 1;
      else high = middle;
    }
    return entries[low]?.chain === entry.chain;
  }

  /** A Region says that its log is a prefix of the log of `epoch`. */
  attached(region: RegionId, epoch: Epoch): void {
    const leader = this.installed.get(epoch);
    if (leader === undefined || leader === region || this.register?.epoch !== epoch) return;
    const own = this.log(region);
    const end = own.entries.at(-1)?.chain ?? own.base.chain;
    const theirs = this.log(leader);
    const known =
      end === undefined || theirs.base.chain === end || theirs.entries.some(({ chain }) => chain === end);
    if (!known)
      this.violated(5, `${region} follows ${leader} in epoch ${epoch} with a log that is no prefix of its`);
  }

  flipped(before: Epoch | undefined, epoch: Epoch, leader: RegionId | undefined): void {
    if (before !== undefined && epoch <= before)
      this.violated(9, `DNS went from epoch ${before} to ${epoch}`);
    if (leader === undefined) {
      this.violated(9, 'DNS names a target outside the inventory');
      return;
    }
    if (this.installed.get(epoch) !== leader) {
      this.violated(
        9,
        `DNS names ${leader} for epoch ${epoch}, but ${this.installed.get(epoch)} was installed`,
      );
    }
  }

  /** At a time, one Region at most may hold the lease. */
  held(by: readonly string[]): void {
    if (by.length > 1) this.violated(12, `the lease is held by ${by.join(' and ')}`);
  }
}

/** Does this item, read at `wallMs` of its Region's clock, let the applications of `region` write? */
export function lendsTo(item: Acceptor, region: RegionId, wallMs: number): Epoch | undefined {
  const { accepted, beat, vote } = item;
  if (beat === undefined || accepted === undefined) return undefined;
  const { epoch, phase, leader } = accepted.value;
  if (phase !== 'leading' || leader !== region || beat.epoch !== epoch || vote === epoch) return undefined;
  return epochOf(item) === beat.epoch && wallMs < beat.leaseUntilMs ? epoch : undefined;
}
