import { type Acceptor, counterOf, epochOf, majorityOf } from '#lib/domain/control/acceptor.ts';
import { runName } from '#lib/domain/control/failover.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import type { Register } from '#lib/domain/control/register.ts';
import { look, type Moment, momentOf, stillMs, type Watch } from '#lib/domain/control/watch.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Workflow, WritePath } from '#lib/ports/sentinel-ports.ts';
import type { SteadyClock, Telemetry } from '#lib/ports/telemetry.ts';
import { changeRegister, keep, type RegisterDeps } from '#lib/usecases/control/change-register.ts';
import { type Answers, countOf, gather } from '#lib/usecases/control/gather.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';
import { Outlook } from '#lib/usecases/control/outlook.ts';

export type WatcherDeps = RegisterDeps & {
  readonly group: GroupId;
  readonly profile: Profile;
  readonly clock: SteadyClock;
  readonly writePath: WritePath;
  /** Absent at a witness, which votes and leaves the failover to the replicas: nobody is promoted without one. */
  readonly workflow?: Workflow;
  /** Would an election find somebody to promote now? Asked only after an epoch that was claimed in vain. */
  readonly hasCandidate?: () => Promise<boolean>;
  readonly telemetry: Telemetry;
};

/** Stands for a counter while a vote is in force that another has cast. */
const HANDING_OVER = -1;
/** How much of the margin the leader has to answer a probe. */
const PROBE_SHARE = 0.8;
/** How many looks' time the Regions have to say whether they have voted. */
const COUNT_LOOKS = 4;
/** How many looks' time each voter leaves to the one before it to start the failover. */
const TURN_LOOKS = 3;

/**
 * What a Region does while another leads: it watches the leader's beats, votes when they end and its write path fails, takes
 * the vote back when it beats again, and starts the failover that a majority has voted for.
 */
export class Watcher {
  readonly #deps: WatcherDeps;
  readonly #outlook: Outlook;
  #watch: Watch | undefined;
  /** Of the leader, while it is silent: undefined while nobody knows yet. */
  #probe: { readonly watch: Watch; writable: boolean | undefined } | undefined;
  /** The epoch against which this sentinel has voted itself. */
  #voted: Epoch | undefined;
  /** Counters of the other Regions when this one voted. */
  #elsewhere: ReadonlyMap<RegionId, number> = new Map();
  /** When this sentinel first saw that a majority has voted. */
  #outvoted: { readonly epoch: Epoch; readonly sinceMs: number } | undefined;
  #started: { readonly epoch: Epoch; readonly atMs: number; readonly tries: number } | undefined;

  constructor(deps: WatcherDeps) {
    this.#deps = deps;
    this.#outlook = new Outlook(deps);
  }

  /** One look, while this Region does not lead. */
  async look(own: Acceptor, register: Register): Promise<void> {
    const { acceptors, profile, region, telemetry } = this.#deps;
    const { epoch } = register;
    const now = momentOf(this.#deps.clock);
    // Against an epoch that came to nothing: cast to complete it, by a process that was cut off.
    if ((own.vote ?? 0) > epoch) return this.dropStaleVote(own, register, now);
    if (own.vote === epoch) {
      // A vote that is not this sentinel's own is the leader's consent to a switchover, which has a run of its own.
      if (this.#voted !== epoch) {
        this.#watch = look(this.#watch, epoch, HANDING_OVER, now);
        if (stillMs(this.#watch, now) < profile.takeoverMs) return;
      }
      return this.#countVotes(register);
    }
    this.#watch = look(this.#watch, epoch, counterOf(own, epoch), now);
    const leading = register.phase === 'leading';
    const patience = leading ? profile.leaseMs + profile.marginMs : profile.takeoverMs;
    const still = stillMs(this.#watch, now);
    // Begun so early that its answer, or its silence, is there when the time has come.
    if (leading && still >= patience - profile.marginMs) this.#tryLeader(register.leader, this.#watch);
    if (still >= patience / 4) this.#outlook.look(register);
    if (still < patience) return;
    if (leading) {
      const { writable } = this.#probe!;
      if (writable === undefined) return;
      if (writable) {
        telemetry.event('leader-silent', { epoch, leader: register.leader, writable });
        this.#probe = undefined;
        return;
      }
    }
    const voted = await acceptors.of(region).vote(epoch, this.#watch.counter);
    if (voted.kind !== 'voted') return;
    this.#voted = epoch;
    telemetry.event('voted', { epoch, counter: this.#watch.counter });
    this.#elsewhere = new Map();
    await this.#countVotes(register);
  }

  /**
   * Does the leader take writes? One whose beats are lost on the way here lives: its store can be written to, and it
   * holds a lease by its own item.
   */
  #tryLeader(leader: RegionId, watch: Watch): void {
    if (this.#probe?.watch === watch) return;
    const { acceptors, clock, profile, writePath } = this.#deps;
    const probe: { watch: Watch; writable: boolean | undefined } = { watch, writable: undefined };
    this.#probe = probe;
    const answers = Promise.all([acceptors.of(leader).read(), writePath.canary(leader)]);
    within(this.#deps, PROBE_SHARE * profile.marginMs, answers).then(
      ([{ beat }]) => {
        probe.writable = beat !== undefined && beat.leaseUntilMs > clock.now();
      },
      () => {
        probe.writable = false;
      },
    );
  }

  /** While this Region's vote is in force: start the failover once a majority has voted, or take the vote back. */
  async #countVotes(register: Register): Promise<void> {
    const { acceptors, group, profile, region, telemetry, workflow, clock } = this.#deps;
    const { epoch } = register;
    const need = majorityOf(acceptors.members.length);
    const votesIn = (each: ReadonlyMap<RegionId, Acceptor>) => countOf(each, ({ vote }) => vote === epoch);
    this.#outlook.look(register);
    const guarded = guardOf(register, clock.now()) ?? this.#outlook.holds(register);
    // A failover that is held can wait to hear of the leader from itself.
    const awaited = acceptors.members.filter((at) => guarded !== undefined || at !== register.leader);
    const answers = await gather(
      this.#deps,
      (acceptor) => acceptor.read(),
      (each) =>
        (guarded === undefined && votesIn(each) >= need) || awaited.every((member) => each.has(member)),
      { patienceMs: COUNT_LOOKS * profile.lookMs },
    );
    const ahead = [...answers.values()].some((each) => epochOf(each) > epoch);
    if (ahead) {
      await changeRegister(this.#deps, keep);
      return;
    }
    const outvoted = votesIn(answers) >= need;
    if (outvoted && guarded === undefined) {
      if (workflow === undefined || !this.#hasTurn(register, answers)) return;
      const before = this.#started?.epoch === epoch ? this.#started : undefined;
      if (before !== undefined && clock.steadyMs() - before.atMs < profile.takeoverMs) return;
      const tries = (before?.tries ?? 0) + 1;
      const run = runName(group, epoch, region, tries);
      const began = await workflow.start({
        group,
        epoch,
        kind: 'failover',
        run,
        trigger: 'votes',
        approval: profile.approval,
      });
      this.#started = { epoch, atMs: clock.steadyMs(), tries };
      telemetry.event('failover-started', { epoch, run, began });
      return;
    }
    // Nobody takes the leader's place for now: should it beat again, it is to be lent a lease again.
    if (outvoted && guarded !== undefined && workflow !== undefined) {
      telemetry.event('failover-held', { epoch, why: guarded });
    }
    const counters = new Map([...answers].map(([at, each]) => [at, counterOf(each, epoch)]));
    const beating = [...counters].some(([at, counter]) => counter > (this.#elsewhere.get(at) ?? counter));
    this.#elsewhere = counters;
    if (!beating) return;
    await acceptors.of(region).unvote(epoch, answers.get(region)?.voteBy);
    this.#watch = undefined;
    telemetry.event('vote-withdrawn', { epoch });
  }

  /** One coordinator at a time: two that claim at once cost each other round trips. The next in line begins if nobody has. */
  #hasTurn({ epoch, leader }: Register, answers: Answers<Acceptor>): boolean {
    const { acceptors, clock, profile, region } = this.#deps;
    if (this.#outvoted?.epoch !== epoch) this.#outvoted = { epoch, sinceMs: clock.steadyMs() };
    const voters = acceptors.members.filter((at) => at !== leader && answers.get(at)?.vote === epoch);
    const place = Math.max(0, voters.indexOf(region));
    return clock.steadyMs() - this.#outvoted.sinceMs >= place * TURN_LOOKS * profile.lookMs;
  }

  /** A vote that nobody completes or takes back is given up: its run, or the sentinel that cast it, is gone. */
  async dropStaleVote(own: Acceptor, register: Register, now: Moment): Promise<void> {
    const { acceptors, profile, region } = this.#deps;
    this.#watch = look(this.#watch, register.epoch, HANDING_OVER, now);
    if (own.vote === undefined || stillMs(this.#watch, now) < profile.takeoverMs) return;
    await acceptors.of(region).unvote(own.vote, own.voteBy);
    this.#watch = undefined;
  }
}

/** Fails if `work` is not done in `ms`; what it does later is not looked at. */
async function within<T>(deps: Pick<RegisterDeps, 'sleep'>, ms: number, work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    deps.sleep(ms).then(() => {
      throw new Error(`no answer in ${ms} ms`);
    }),
  ]);
}
