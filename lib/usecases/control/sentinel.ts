import { type Acceptor, type Beat, counterOf, epochOf, majorityOf } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import { leaseLeftMs, look, type Moment, momentOf, stillMs, type Watch } from '#lib/domain/control/watch.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { liveShards } from '#lib/domain/marks.ts';
import type { ApplyState, Control } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';
import { Canary } from '#lib/usecases/control/canary.ts';
import { changeRegister, glanceAtRegister, keep } from '#lib/usecases/control/change-register.ts';
import { hasDrained } from '#lib/usecases/control/drain.ts';
import { FenceKeeper } from '#lib/usecases/control/fence-keeper.ts';
import { countOf, gather } from '#lib/usecases/control/gather.ts';
import { roleOf } from '#lib/usecases/control/role-of.ts';
import { standingOf } from '#lib/usecases/control/standing.ts';
import { Watcher, type WatcherDeps } from '#lib/usecases/control/watcher.ts';
import { WriteCount } from '#lib/usecases/control/write-count.ts';

export type SentinelDeps = WatcherDeps & {
  /** Every application draws its writes from the lease. */
  readonly countsWrites: boolean;
  /** Absent at a witness: there is no data path to tell. */
  readonly control?: Pick<Control, 'role' | 'nameLeader' | 'applyState'>;
  readonly log: Pick<ReplicaLog, 'head' | 'seal'>;
  readonly fence: EngineFence;
  /** Does what the store of this Region needs before its first write as the leader of an epoch; throws if it is not done. */
  readonly makeReady?: (epoch: Epoch) => Promise<void>;
  /**
   * Applies what the log of this Region holds, while `mayGoOn`: who is to lead does not wait until its applier hears that
   * the log is complete. Resolves to where the store stands then, if it has done anything. Without it, the applier does it all.
   */
  readonly drain?: (mayGoOn: () => boolean) => Promise<{ readonly state: ApplyState } | undefined>;
  /** What a leader does whose lease is over; `fence` if it is not given. `continue` may diverge. */
  readonly onLeaseLost?: 'fence' | 'continue';
};

/** For how long a coordinator may count on while the successor's request for its lease is on its way, ms. */
const AHEAD_MS = 100;
/** Between two looks of a Region that everybody waits for, ms. */
const NEXT_MS = 20;

/**
 * The watcher of one Region: beats while its Region leads, watches while another does, votes when that one is silent
 * and its write path fails, takes the vote back when it beats again, and starts the failover that a majority has
 * voted for. All it knows between two looks is how long it has watched: a new sentinel starts over, on the safe side.
 */
export class Sentinel {
  readonly #deps: SentinelDeps;
  /** Of a later epoch than this Region holds, since it beats here. */
  #late: Watch | undefined;
  /** Of the newest beat that a majority took. */
  #lent: { readonly epoch: Epoch; readonly sent: Moment } | undefined;
  #leastLeft: number | undefined;
  #beatDueMs = Number.NEGATIVE_INFINITY;
  #counter = 0;
  /** Is this Region to lead in a moment? */
  #isNext = false;
  /** The epoch that this Region is known to be fit to lead. */
  #inPlace: Epoch | undefined;
  /** The epoch whose leader the role of this Region names. */
  #named: Epoch | undefined;
  /** Where the log of this Region ended when it was found fit to lead, until its first beat tells of it. */
  #drained: Head | undefined;
  /** The epoch for which this Region has asked for a lease before it leads. */
  #askedAhead: Epoch | undefined;
  /** That request, while it is under way. */
  #asking: Promise<void> | undefined;
  /** The epoch of which this sentinel has told that its store has yet to drain. */
  #awaited: Epoch | undefined;
  readonly #writes = new WriteCount();
  readonly #keeper: FenceKeeper;
  readonly #canary: Canary;
  readonly #watcher: Watcher;
  /** The newest lease that an item of this Region told, by whichever process: a beat without one wipes it out there. */
  #told: { readonly epoch: Epoch; readonly untilMs: number } | undefined;
  /** Counter of the last beat that this process has sent. */
  #sent = 0;
  /** The newest beat of another process of this Region, and when this one first saw it, steady ms. */
  #relief: { readonly counter: number; readonly sinceMs: number } | undefined;
  /** The epoch whose lease this process has told to be lost. */
  #lost: Epoch | undefined;
  /** Since when this Region's own item has not been read, steady ms. */
  #blindSinceMs: number | undefined;

  constructor(deps: SentinelDeps) {
    this.#deps = deps;
    this.#keeper = new FenceKeeper(deps);
    this.#canary = new Canary(deps);
    this.#watcher = new Watcher(deps);
  }

  /** What is left of this Region's lease, ms; 0 without one. */
  get leaseLeftMs(): number {
    if (this.#lent === undefined) return 0;
    return Math.max(0, leaseLeftMs(this.#lent.sent, this.#deps.profile.leaseMs, momentOf(this.#deps.clock)));
  }

  /** The least of the lease that was left when it was renewed, as a share, since last asked; 0 once it was lost. */
  takeLeastLeft(): number | undefined {
    const least = this.#leastLeft;
    this.#leastLeft = undefined;
    return least;
  }

  /** One look. Call it every `profile.lookMs`; a look that is late does no harm, two at a time would. */
  async tick(): Promise<void> {
    const { acceptors, region } = this.#deps;
    let own: Acceptor;
    try {
      own = await acceptors.of(region).read();
      this.#blindSinceMs = undefined;
    } catch (error) {
      await this.#lookBlindly();
      throw error;
    }
    const register = own.accepted?.value;
    if (register === undefined) return;
    if (isBehind(own, register) && (await this.#catchUp(own, register))) return;
    if (this.#lent?.epoch !== register.epoch) this.#lent = undefined;
    this.#isNext = register.phase === 'switching-over' && register.successor === region;
    if (this.#isNext) this.#askAhead(own, register);
    if (!(await this.#isDrained(register))) return;
    const leads = register.phase === 'leading' && register.leader === region;
    if (leads) this.#tryCanary(register);
    if (leads && this.#asking !== undefined) {
      await this.#asking;
      own = await acceptors.of(region).read();
    }
    await this.#follow(own, register);
    if (leads) await this.#lead(own, register);
    else {
      if (!this.#isNext) this.#lent = undefined;
      await this.#watcher.look(own, register);
    }
  }

  /**
   * The own item can't be read: under MRSC, so it is where this Region is cut off from the others. Then no process of it has
   * had a beat taken since, and after a lease's time nobody holds one; by the role, this Region may still take itself for the
   * leader.
   */
  async #lookBlindly(): Promise<void> {
    const { clock, control, onLeaseLost = 'fence', profile, region, telemetry } = this.#deps;
    const now = clock.steadyMs();
    this.#blindSinceMs ??= now;
    if (control === undefined || now - this.#blindSinceMs < profile.leaseMs) return;
    const role = await roleOf(control);
    if (role === undefined || role.leader !== region) return;
    const { epoch } = role;
    if (this.#lost !== epoch) telemetry.event('lease-lost', { epoch, onLeaseLost });
    this.#lost = epoch;
    this.#lent = undefined;
    if (onLeaseLost === 'fence') this.#keeper.want(true, epoch);
  }

  /** How long to wait before the next look, ms: while everybody waits for this Region, less than otherwise. */
  get pauseMs(): number {
    const { lookMs } = this.#deps.profile;
    return this.#isNext ? Math.min(NEXT_MS, lookMs) : lookMs;
  }

  /**
   * The successor of a switchover asks for its lease while the last writes are still on their way to it. It tells nobody
   * of it before it leads. It asks once: who does so again and again would seem to be a leader that goes on. The looks go on
   * meanwhile.
   */
  #askAhead(own: Acceptor, register: Register): void {
    const { clock, control, telemetry } = this.#deps;
    const { epoch } = register;
    if (control === undefined || this.#askedAhead === epoch) return;
    this.#askedAhead = epoch;
    const ask = async () => {
      const now = momentOf(clock);
      this.#writes.look(own, epoch, now.wallMs);
      await this.#beat(register, now, this.#countOn(own, register, now, AHEAD_MS));
      // Where the coordinator has counted on meanwhile, the answers have told how far.
      if (this.leaseLeftMs > 0) return;
      this.#counter += 1;
      await this.#beat(register, momentOf(clock), this.#sent);
    };
    this.#asking = ask()
      .catch((error) => telemetry.event('ask-failed', { epoch, why: String(error) }))
      .finally(() => {
        this.#asking = undefined;
      });
  }

  /**
   * Counts on, above what a coordinator sent in this epoch, whose counter is the time; `aheadMs` above what it may send
   * meanwhile. Returns where the own item stands.
   */
  #countOn(own: Acceptor, { epoch }: Register, now: Moment, aheadMs = 0): number {
    const newest = counterOf(own, epoch);
    this.#counter = Math.max(this.#counter + 1, newest + 1, now.wallMs + aheadMs);
    return newest;
  }

  /** Who has been made the leader leads once its store holds all of its log: until then its applier goes on. */
  async #isDrained({ epoch, leader, leadsFrom: from = '0', phase }: Register): Promise<boolean> {
    const { clock, control, profile, region, sleep, telemetry } = this.#deps;
    if (control === undefined || phase !== 'leading' || leader !== region || this.#inPlace === epoch)
      return true;
    // Both are asked for at once: everybody waits for this.
    const leadsFrom = BigInt(from);
    const standing = this.#standing(leadsFrom);
    standing.catch(() => {});
    const role = await roleOf(control);
    if (role !== undefined && role.leader !== region) {
      this.#isNext = true;
      const untilMs = clock.steadyMs() + profile.lookMs;
      let at = await standing;
      let { drain } = this.#deps;
      while (!at.isDrained) {
        if (this.#awaited !== epoch) telemetry.event('drain-awaited', { epoch, ...at.told });
        this.#awaited = epoch;
        if (clock.steadyMs() >= untilMs) return false;
        let applied: { readonly state: ApplyState } | undefined;
        if (drain !== undefined && at.head.lastLsn >= leadsFrom) {
          // Once a look: this takes the applier's lease, and who took it by turns would both come to nothing.
          applied = await drain(() => clock.steadyMs() < untilMs).catch((error) => {
            telemetry.event('drain-failed', { epoch, why: String(error) });
            return undefined;
          });
          drain = undefined;
        } else await sleep(NEXT_MS);
        at = await this.#standing(leadsFrom, at.head, applied?.state);
      }
      this.#drained = at.head;
    }
    await this.#deps.makeReady?.(epoch);
    this.#inPlace = epoch;
    return true;
  }

  /**
   * Does the store of this Region hold all of its log, which reaches as far as `leadsFrom`?
   *
   * @param seen the log's head as last read: once that reaches as far, nobody but the run that named this Region appends.
   * @param known where the store stood just now, if somebody knows.
   */
  async #standing(leadsFrom: bigint, seen?: Head, known?: ApplyState) {
    const { control, log } = this.#deps;
    const isWhole = seen !== undefined && leadsFrom > 0n && seen.lastLsn >= leadsFrom;
    const { head, state } = isWhole
      ? { head: seen, state: known ?? (await control!.applyState(LANE_0)) }
      : await standingOf(log, control!);
    const isDrained = head.lastLsn >= leadsFrom && hasDrained(state, head);
    return { isDrained, head, told: { applied: `${state.applied?.lsn}`, log: `${head.lastLsn}` } };
  }

  /**
   * The data path of this Region goes by its role item: it names who leads once a leader is in place. One whose log is yet to
   * be completed is followed from its first beat: before that, a log that holds more would seem to have parted from it.
   */
  async #follow(own: Acceptor, { epoch, leader, leadsFrom, phase }: Register): Promise<void> {
    if (phase !== 'leading') return;
    if (this.#named === epoch) return;
    const isInPlace =
      leadsFrom === undefined || leader === this.#deps.region || own.leaderEnd?.epoch === epoch;
    if (!isInPlace) return;
    await this.#deps.control?.nameLeader({ epoch, leader });
    this.#named = epoch;
  }

  async #lead(own: Acceptor, register: Register): Promise<void> {
    const { profile } = this.#deps;
    const now = momentOf(this.#deps.clock);
    this.#tryCanary(register);
    if (own.beat?.epoch === register.epoch && own.beat.leaseUntilMs > 0) {
      this.#told = { epoch: register.epoch, untilMs: own.beat.leaseUntilMs };
    }
    this.#writes.look(own, register.epoch, now.wallMs);
    // A leader that has yet to tell of its first lease is waited for by everybody.
    const isNew =
      (this.leaseLeftMs === 0 || this.#told?.epoch !== register.epoch) && this.#lost !== register.epoch;
    if (isNew && !this.#canary.isHealthy)
      await Promise.race([this.#canary.ended, this.#deps.sleep(profile.lookMs)]);
    const isDue = now.steadyMs >= this.#beatDueMs || (this.#deps.countsWrites && this.#writes.isLow);
    if (
      isDue &&
      !this.#isRelieved(own, register, now) &&
      this.#canary.isHealthy &&
      !hasVoted(own, register)
    ) {
      this.#beatDueMs = now.steadyMs + profile.beatMs;
      const isLent = this.leaseLeftMs > 0;
      await this.#beat(register, now, this.#countOn(own, register, now));
      // A beat tells the lease of the one before it: what the first has lent, clients see with the second.
      if (isNew && !isLent && this.leaseLeftMs > 0) {
        this.#counter += 1;
        await this.#beat(register, momentOf(this.#deps.clock), this.#sent);
      }
      if (!isLent && this.leaseLeftMs > 0) {
        this.#canary.hurry();
        this.#tryCanary(register);
      }
    }
    // Its own vote is the leader's word that it hands over: from now on it holds no lease.
    if (hasVoted(own, register)) {
      this.#lent = undefined;
      await this.#watcher.dropStaleVote(own, register, now);
    } else if (this.leaseLeftMs === 0) this.#loseLease(own, register, now);
    else {
      this.#lost = undefined;
      // Whoever raised it, in whatever epoch: this process, the one before it, or the failover that replaced this Region.
      this.#keeper.want(false, register.epoch);
    }
  }

  #tryCanary({ epoch }: Register): void {
    const isLent = this.#lent?.epoch === epoch && this.leaseLeftMs > 0;
    this.#canary.tryOne(epoch, isLent ? this.#lent?.sent.steadyMs : undefined);
  }

  /**
   * Another process of this Region has beaten after this one, as the next invocation does while the last still looks on. This
   * one stands back while that goes on: by turns, each would forget what the other has announced, and grant nothing more.
   */
  #isRelieved(own: Acceptor, { epoch }: Register, now: Moment): boolean {
    const counter = counterOf(own, epoch);
    if (this.#lent?.epoch !== epoch || counter <= this.#sent) return false;
    // One whose beats nobody else hears has been lent nothing.
    if ((own.beat?.leaseUntilMs ?? 0) <= now.wallMs) return false;
    if (this.#relief?.counter !== counter) this.#relief = { counter, sinceMs: now.steadyMs };
    return now.steadyMs - this.#relief.sinceMs < 2 * this.#deps.profile.beatMs;
  }

  /** @param follows the counter of the newest beat that the own item holds. */
  async #beat(register: Register, sent: Moment, follows: number): Promise<void> {
    const { acceptors, log, profile, region, telemetry } = this.#deps;
    const left = this.leaseLeftMs;
    // A process that was frozen has nothing left to tell of: another one has beaten meanwhile.
    if (left > 0) this.#leastLeft = Math.min(this.#leastLeft ?? 1, left / profile.leaseMs);
    const beat: Beat = {
      epoch: register.epoch,
      counter: this.#counter,
      leaseUntilMs: left > 0 ? sent.wallMs + left : 0,
      ...(this.#deps.countsWrites && { granted: this.#writes.granted }),
      ...(this.#deps.onLeaseLost === 'continue' && { continues: true as const }),
    };
    this.#sent = beat.counter;
    const { lastCommitMs, lastLsn, marks } = this.#drained ?? (await log.head(LANE_0));
    this.#drained = undefined;
    const end = { lsn: lastLsn, commitMs: lastCommitMs };
    // The own item first: from then on no earlier beat lets the applications draw more than the others hear of now.
    const { countsWrites } = this.#deps;
    const own = await acceptors.of(region).beat({ ...beat, ...(countsWrites && { follows }) });
    const counts = countsWrites && own.kind === 'lent';
    if (counts) this.#writes.announce(own.acceptor);
    const isOrdered = counts && liveShards(marks, region) <= 1;
    const beyond = isOrdered ? this.#writes.beyond(lastCommitMs, profile.marginMs) : undefined;
    // Who asks ahead must not displace what the others have heard of the leader before: should both be lost, they tell by it.
    const leads = register.phase === 'leading';
    const told = { ...beat, ...(leads && { end: { ...end, ...(beyond !== undefined && { beyond }) } }) };
    const need = majorityOf(acceptors.members.length);
    const answers = await gather(
      this.#deps,
      async (acceptor, at) => (at === region ? own : acceptor.beat(told)),
      (each) =>
        countOf(each, ({ kind }) => kind === 'lent') >= need ||
        (each.size >= need && countOf(each, ({ kind }) => kind === 'deposed') > 0),
      { patienceMs: profile.leaseMs },
    );
    const lent = countOf(answers, ({ kind }) => kind === 'lent');
    if (lent >= need) {
      this.#lent = { epoch: register.epoch, sent };
      if (counts) this.#writes.grant();
    } else telemetry.event('beat-refused', { epoch: register.epoch, lent, need });
    for (const { acceptor } of answers.values()) {
      this.#counter = Math.max(this.#counter, counterOf(acceptor, register.epoch));
    }
    const deposed = [...answers.values()].filter(({ acceptor }) => epochOf(acceptor) > register.epoch);
    if (deposed.length === 0) return;
    // Handed over while this beat was on its way: the run that it was given to ends the log, once the last writes are in it.
    if (hasVoted(await acceptors.of(region).read(), register)) return;
    if (lent >= need) {
      // A claim that only a minority took: the next value of a majority covers it.
      await changeRegister(this.#deps, keep);
      return;
    }
    telemetry.event('deposed', { epoch: register.epoch });
    const agreed = await glanceAtRegister(this.#deps);
    // Without a lease there is nothing left to hold on to, even if the others are too few to say who is next.
    const next = Math.max(...deposed.map(({ acceptor }) => epochOf(acceptor))) as Epoch;
    if (agreed !== undefined && agreed.epoch > register.epoch)
      await this.#stepDown(register.epoch, agreed.epoch);
    else if (this.leaseLeftMs === 0) await this.#stepDown(register.epoch, next);
  }

  /**
   * Without a lease nobody may write here: the store is fenced until a lease is lent again, by whichever process of this
   * Region finds it over. A group that is to go on without one says so, and does.
   */
  #loseLease({ beat }: Acceptor, { epoch }: Register, now: Moment): void {
    const { onLeaseLost = 'fence', telemetry } = this.#deps;
    const told = this.#told?.epoch === epoch ? this.#told.untilMs : 0;
    // Nobody has held one in this epoch.
    if (told === 0 && this.#lent === undefined) return;
    // Another process of this Region holds the lease that this one has lost, or never had.
    if (told > now.wallMs && (this.#lent === undefined || beat?.counter !== this.#sent)) return;
    if (this.#lost !== epoch) {
      this.#leastLeft = 0;
      telemetry.event('lease-lost', { epoch, onLeaseLost });
    }
    this.#lost = epoch;
    if (onLeaseLost === 'fence') this.#keeper.want(true, epoch);
  }

  /**
   * By what the others say, this Region can lead on no longer: it gives its lease up and completes what they have
   * begun. If that comes to nothing, it takes its word back.
   *
   * @param next the epoch that they have accepted.
   */
  async #stepDown(epoch: Epoch, next: Epoch): Promise<void> {
    const { acceptors, region } = this.#deps;
    this.#lent = undefined;
    await acceptors.of(region).vote((next - 1) as Epoch, 'over');
    const { register } = await changeRegister(this.#deps, keep);
    if (register.epoch > epoch) {
      await this.#fence(register.epoch);
    } else {
      await acceptors.of(region).unvote((next - 1) as Epoch);
    }
  }

  /** What this Region has led until `epoch` came: nothing more is logged in its name, and the store refuses its users. */
  async #fence(epoch: Epoch): Promise<void> {
    this.#keeper.want(true, epoch);
    await this.#deps.log.seal(LANE_0, epoch);
  }

  /** Another epoch, or the leader of this one, beats here, and this Region was away when the others accepted it. */
  async #catchUp(own: Acceptor, register: Register): Promise<boolean> {
    const { acceptors, region } = this.#deps;
    await this.#release(own, register);
    // Proposals that broke off may have left no two Regions with one ballot: then a proposal of its own tells.
    const agreed = (await glanceAtRegister(this.#deps)) ?? (await this.#readRegister());
    if (agreed === undefined || agreed.epoch < register.epoch) return false;
    if (agreed.epoch === register.epoch && agreed.phase === register.phase) return false;
    // A majority has accepted it: to withdraw the grant from the epoch before is no loss to anybody.
    if (agreed.epoch > register.epoch && register.phase === 'leading' && register.leader === region) {
      await this.#fence(agreed.epoch);
    }
    if (agreed.epoch > epochOf(own)) await acceptors.of(region).vote((agreed.epoch - 1) as Epoch, 'over');
    await changeRegister(this.#deps, keep);
    return true;
  }

  /**
   * What this Region lent before it was first beaten to by a later epoch is over by its own watch. To withdraw it then
   * costs nobody a lease, and is needed where too few others are left that hold the later epoch for a majority to agree.
   */
  async #release({ beat, vote }: Acceptor, { epoch, leader, phase }: Register): Promise<void> {
    const { acceptors, profile, region } = this.#deps;
    if (beat === undefined || beat.epoch <= epoch) return;
    const now = momentOf(this.#deps.clock);
    this.#late = look(this.#late, beat.epoch, 0, now);
    if ((vote ?? 0) >= beat.epoch - 1 || stillMs(this.#late, now) < profile.leaseMs + profile.marginMs)
      return;
    if (phase === 'leading' && leader === region) await this.#fence(beat.epoch);
    await acceptors.of(region).vote((beat.epoch - 1) as Epoch, 'over');
  }

  async #readRegister(): Promise<Register | undefined> {
    const { kind, register } = await changeRegister(this.#deps, keep);
    return kind === 'changed' ? register : undefined;
  }
}

/** Does somebody beat here whose claim or installation this Region has missed? Only leaders tell where their log ends. */
function isBehind(own: Acceptor, register: Register): boolean {
  if (own.beat !== undefined && own.beat.epoch > register.epoch) return true;
  return register.phase !== 'leading' && own.leaderEnd?.epoch === register.epoch;
}

/** Has this Region withdrawn its grant from the epoch in force, or from one that was to come after it? */
function hasVoted({ vote }: Acceptor, { epoch }: Register): boolean {
  return vote !== undefined && vote >= epoch;
}
