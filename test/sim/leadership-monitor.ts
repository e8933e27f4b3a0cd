import { type Acceptor, type Ballot, epochOf, majorityOf } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Election } from './loss-monitor.ts';
import type { Monitor } from './monitor.ts';

type Chosen = { readonly ballot: Ballot; readonly value: Register };

type Elected = Election & { readonly winner: RegionId; readonly eligible: boolean };

/** Who leads: the register, the roles, DNS and the leases. */
export class LeadershipMonitor {
  readonly #monitor: Monitor;
  readonly #members: number;
  /** By run: a step that was given up and tried again may elect twice, and end in any order. */
  readonly #elections = new Map<string, readonly Elected[]>();
  readonly #ballots = new Map<Ballot, { value: Register; text: string; regions: Set<RegionId> }>();
  readonly #chosen: Chosen[] = [];
  /** Leaders by epoch that some Region has accepted. */
  readonly #proposed = new Map<number, RegionId>();
  /** Leaders by epoch that a majority agreed on. */
  readonly installed = new Map<number, RegionId>();
  /** A leader that has yet to get the rest of the log before it: what is lost with that is known once it leads. */
  #awaited: { readonly epoch: Epoch; readonly leadsFrom: bigint; readonly check: () => void } | undefined;

  constructor(monitor: Monitor, members: number) {
    this.#monitor = monitor;
    this.#members = members;
  }

  get register(): Register | undefined {
    return this.#chosen.at(-1)?.value;
  }

  accepted(region: RegionId, ballot: Ballot, value: Register): void {
    const text = JSON.stringify(value);
    const { epoch, leader } = value;
    if (value.phase === 'leading') {
      const other = this.#proposed.get(epoch) ?? leader;
      if (other !== leader)
        this.#monitor.violated(1, `epoch ${epoch} got two leaders: ${other} and ${leader}`);
      this.#proposed.set(epoch, leader);
    }
    let known = this.#ballots.get(ballot);
    if (known === undefined) {
      known = { value, text, regions: new Set() };
      this.#ballots.set(ballot, known);
      if (this.#ballots.size > 400) this.#ballots.delete(this.#ballots.keys().next().value!);
    }
    if (known.text !== text) {
      this.#monitor.violated(1, `ballot ${ballot} carries two values: ${known.text} and ${text}`);
      return;
    }
    known.regions.add(region);
    const need = majorityOf(this.#members);
    if (known.regions.size === need) this.#choose({ ballot, value });
    if (value.phase === 'leading' && region === leader && known.regions.size < need)
      this.#monitor.violated(1, `${region} leads epoch ${epoch} by a value that no majority has accepted`);
  }

  #choose(chosen: Chosen): void {
    const list = this.#chosen;
    let at = list.length;
    while (at > 0 && (list[at - 1] as Chosen).ballot > chosen.ballot) at -= 1;
    list.splice(at, 0, chosen);
    const before = list[at - 1]?.value;
    this.#follows(before, chosen.value);
    this.#follows(chosen.value, list[at + 1]?.value);
    if (list.length > 100) list.shift();
    if (chosen.value.phase === 'leading') this.#install(chosen.value, before);
  }

  #follows(before: Register | undefined, after: Register | undefined): void {
    if (before === undefined || after === undefined) return;
    const told = `${JSON.stringify(before)} and then ${JSON.stringify(after)} were chosen`;
    if (after.epoch < before.epoch) this.#monitor.violated(1, `the epoch went back: ${told}`);
    if (after.epoch !== before.epoch) return;
    if (after.run !== before.run) this.#monitor.violated(8, `two runs held one epoch: ${told}`);
    if (before.phase === 'leading' && after.phase !== 'leading')
      this.#monitor.violated(1, `a leader was uninstalled: ${told}`);
  }

  elected(run: string, election: Elected): void {
    this.#elections.set(run, [...(this.#elections.get(run) ?? []), election]);
  }

  #install({ epoch, leader, leadsFrom, run }: Register, before: Register | undefined): void {
    const known = this.installed.get(epoch);
    if (known === leader) return;
    if (known !== undefined) {
      this.#monitor.violated(1, `epoch ${epoch} got two leaders: ${known} and ${leader}`);
      return;
    }
    this.installed.set(epoch, leader);
    this.#awaited = undefined;
    this.#monitor.counts.installed += 1;
    // A switchover that was taken back: who led the epoch before, with its consent, leads this one.
    if (before?.phase === 'switching-over' && before.run === run && before.leader === leader) return;
    const elections = this.#elections.get(run);
    if (elections === undefined) {
      if (epoch > 1) this.#monitor.violated(10, `${leader} leads epoch ${epoch} without an election`);
      return;
    }
    const election = elections.findLast(({ winner }) => winner === leader);
    if (election === undefined) {
      const winners = elections.map(({ winner }) => winner);
      this.#monitor.violated(10, `${leader} was installed, but ${winners.join(', ')} was elected`);
      return;
    }
    if (!election.eligible) this.#monitor.violated(10, `${leader} was installed, but was not eligible`);
    const check = () => this.#monitor.loss.check(epoch, leader, election);
    if (leadsFrom === undefined) check();
    else this.#awaited = { epoch, leadsFrom: BigInt(leadsFrom), check };
  }

  named(region: RegionId, epoch: Epoch, leader: RegionId): void {
    const proposed = this.#proposed.get(epoch);
    if (proposed !== leader) {
      this.#monitor.violated(
        3,
        `${region} was told that ${leader} leads epoch ${epoch}, but ${proposed ?? 'nobody'} was to be installed`,
      );
    }
    if (this.#awaited?.epoch !== epoch) return;
    if (this.#monitor.log.lastOf(leader) < this.#awaited.leadsFrom)
      this.#monitor.violated(6, `${region} was told that ${leader} leads before the log there was complete`);
    this.#awaited.check();
    this.#awaited = undefined;
  }

  flipped(before: Epoch | undefined, epoch: Epoch, leader: RegionId | undefined): void {
    if (before !== undefined && epoch <= before)
      this.#monitor.violated(9, `DNS went from epoch ${before} to ${epoch}`);
    if (leader === undefined) {
      this.#monitor.violated(9, 'DNS names a target outside the inventory');
      return;
    }
    if (this.installed.get(epoch) !== leader) {
      this.#monitor.violated(
        9,
        `DNS names ${leader} for epoch ${epoch}, but ${this.installed.get(epoch)} was installed`,
      );
    }
  }

  /** At a time, one Region at most may hold the lease. */
  held(by: readonly string[]): void {
    if (by.length > 1) this.#monitor.violated(12, `the lease is held by ${by.join(' and ')}`);
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
