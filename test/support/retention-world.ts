import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, lastOf, place } from '#lib/domain/log.ts';
import { advance, LSN_ZERO } from '#lib/domain/lsn.ts';
import type { RetentionPolicy } from '#lib/domain/retention.ts';
import type { Control } from '#lib/ports/control.ts';
import type { LogKeeper, StoredSegment } from '#lib/ports/log-keeper.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { relay } from '#lib/usecases/relay.ts';
import { type RetainDeps, retain } from '#lib/usecases/retain.ts';
import { allEntries, draft, E1, segment } from './log-history.ts';
import { EU, MemoryGroup, US } from './memory-group.ts';

const DAY_S = 24 * 3_600;
/** How a process sees a port: with whatever befalls it at each call. */
export type Lens = <T extends object>(port: T) => T;
export const plain: Lens = (port) => port;

/** A leader with followers, in memory, whose time is that of the log: each record is committed a while after the last. */
export class RetentionWorld {
  readonly group: MemoryGroup;
  readonly policy: RetentionPolicy;
  /** Seconds since the first record. */
  seconds = 0;

  /** Day-long limits in the policy are as long as `day` seconds of the log. */
  constructor(policy: Partial<RetentionPolicy>, day = DAY_S, regions: readonly RegionId[] = [EU, US]) {
    const scaled = (days: number) => (days * day) / DAY_S;
    this.policy = {
      days: scaled(policy.days ?? 7),
      restoreWindowDays: scaled(policy.restoreWindowDays ?? 0),
      holdDays: scaled(policy.holdDays ?? 14),
      graceHours: scaled(policy.graceHours ?? 24),
      ...(policy.maxBytes !== undefined && { maxBytes: policy.maxBytes }),
    };
    this.group = new MemoryGroup(regions.map((name) => ({ name })));
  }

  get nowMs(): number {
    return 1_700_000_000_000 + this.seconds * 1000;
  }

  /** Logs a segment at the leader as capture does. */
  async capture(name: string, lens = plain): Promise<void> {
    const log: ReplicaLog = lens(this.group.own(EU));
    const made = draft(name, { at: ++this.seconds });
    let head = await log.head(LANE_0);
    for (;;) {
      await log.putSegment(made.hash, segment(name).bytes, head);
      const outcome = await log.append(LANE_0, head, [place(head, made, E1)], E1);
      if (outcome.kind === 'appended') return;
      if (outcome.kind === 'fenced') throw new Error('fenced');
      head = outcome.head;
    }
  }

  async relay(to: RegionId, lens = plain) {
    return relay(lens(this.group.own(EU)), lens(this.group.own(to)), LANE_0, E1);
  }

  /** Reads what follows the applied position, and moves it, as the applier does. Nothing that it needs may be missing. */
  async apply(region: RegionId, lens = plain): Promise<void> {
    const log: ReplicaLog = lens(this.group.own(region));
    const control: Control = lens(this.group.control(region));
    const { lease, state } = await control.takeLease(LANE_0);
    const from = advance(state.applied?.lsn ?? LSN_ZERO, 1);
    try {
      const entries = await log.entries(LANE_0, from, 4);
      const last = entries.at(-1);
      if (last === undefined) return;
      if (entries[0]!.first !== from) throw new Error(`${region} lacks LSN ${from}, which it needs next`);
      for (const entry of entries) await log.getSegment(entry);
      const { maxCommitMs: commitMs, totalBytes } = last;
      await control.saveApplyState(lease, {
        applied: { lsn: lastOf(last), epoch: E1, totalBytes, commitMs },
      });
    } catch (error) {
      // Another has taken the lease and gone on: what this one is after is not needed any more.
      if (this.group.control(region).holds(lease)) throw error;
    }
  }

  /** Reads the log as a reader does who holds on to no entry that is unlinked meanwhile. */
  async read(region: RegionId, lens = plain): Promise<void> {
    const log: ReplicaLog = lens(this.group.own(region));
    const { firstLsn, lastLsn } = await log.head(LANE_0);
    for (let from = firstLsn; from <= lastLsn; ) {
      const [entry] = await log.entries(LANE_0, from, 1);
      const now = async () => (await this.group.own(region).head(LANE_0)).firstLsn;
      if (entry?.first !== from) {
        if ((await now()) > from) return;
        throw new Error(`${region} has no entry at LSN ${from}`);
      }
      try {
        await log.getSegment(entry);
      } catch (error) {
        if ((await now()) > lastOf(entry)) return;
        throw error;
      }
      from = advance(lastOf(entry), 1);
    }
  }

  retainDeps(region: RegionId, lens = plain): RetainDeps {
    const { group } = this;
    const keeper: LogKeeper = lens(group.own(region));
    return {
      group: group.config,
      region,
      peers: { log: (at) => lens(group.log(at)), control: (at) => lens(group.control(at)) },
      keeper,
      policy: this.policy,
      clock: { now: () => this.nowMs },
      sleep: () => new Promise(() => {}),
      telemetry: group.telemetry,
      mayGoOn: () => true,
    };
  }

  retain(region: RegionId, lens = plain) {
    return retain(this.retainDeps(region, lens));
  }

  async stored(region: RegionId): Promise<{ entries: readonly Entry[]; segments: readonly StoredSegment[] }> {
    const log = this.group.own(region);
    const segments: StoredSegment[] = [];
    for (;;) {
      const page = await log.segments(segments.at(-1));
      if (page.length === 0) return { entries: await allEntries(log), segments };
      segments.push(...page);
    }
  }
}
