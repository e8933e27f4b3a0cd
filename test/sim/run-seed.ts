import { epochOf } from '#lib/domain/control/acceptor.ts';
import { MAX_DRIFT, PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { BUGS } from './bugs.ts';
import { Faults, type Temper } from './faults.ts';
import { lendsTo } from './leadership-monitor.ts';
import type { Monitor, Violation } from './monitor.ts';
import type { Trace } from './network.ts';
import { Random } from './random.ts';
import { type Pace, RegionTwin } from './region.ts';
import { Scheduler } from './scheduler.ts';
import { Traps } from './traps.ts';
import { targetOf, World } from './world.ts';

export type Run = {
  readonly seed: number;
  readonly hours: number;
  readonly bug?: string | undefined;
  readonly trace?: Trace | undefined;
};

export type Result = {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly hours: number;
  readonly events: number;
  readonly epoch: number;
  readonly counts: Monitor['counts'];
};

/** Longest time between two faults' rounds in a long run: its days are mostly quiet. */
const QUIET_MS = 5_400_000;
const RAGE_MS = 240_000;

/** One seed in so many has traps set beside faults by chance. */
const TRAPS_EVERY = 2;
const SEGMENTS = ['objects', 'entries', 'mixed'] as const;

/** Mean time between two looks at the group, in leases. */
const LOOK_LEASES = 4;

type Setting = {
  readonly profile: Profile;
  readonly pace: Pace;
  readonly temper: Temper;
  readonly quietMs: number;
};

/** What a seed's run is like: short runs are dense with faults, long ones have quiet hours and slower beats. */
function settingOf(random: Random, hours: number): Setting {
  const long = hours > 4;
  const lot = random.next();
  const fast = { ...PROFILES.fast, lookMs: 250, beatMs: 400 };
  const stretched = (factor: number): Profile => ({
    ...PROFILES.balanced,
    beatMs: 3_000 * factor,
    lookMs: 2_500 * factor,
    leaseMs: 11_000 * factor,
    marginMs: 4_000 * factor,
    takeoverMs: 30_000 * factor,
  });
  const chosen = long ? stretched(5) : lot < 0.03 ? fast : lot < 0.6 ? stretched(1) : stretched(2.5);
  const profile = { ...chosen, cooldownMs: random.pick([0, chosen.leaseMs]), approval: false };
  const { leaseMs, marginMs } = profile;
  // How much later than the last lease a new one begins, at the least.
  const slackMs = (leaseMs + marginMs) / (1 + MAX_DRIFT) - leaseMs / (1 - MAX_DRIFT);
  return {
    profile,
    pace: {
      writeMs: profile.beatMs / (long ? 1 : 3),
      pullMs: 4 * profile.leaseMs,
      bursts: random.pick([0, 0, 0.003]),
    },
    temper: {
      everyMs: leaseMs * random.pick([0.5, 1, 2]),
      lastsMs: leaseMs * random.pick([0.5, 1.5, 3]),
      killAtAwait: random.pick([0, 0.0005, 0.003]),
      pauseAtAwait: random.pick([0, 0.0005, 0.003]),
      wallMs: slackMs * 0.9,
      clocks: random.pick(['frozen', 'frozen', 'set', 'sound'] as const),
    },
    quietMs: long ? QUIET_MS : 0,
  };
}

/** Runs a group for some simulated hours, or until it breaks a rule. The same seed gives the same run. */
export async function runSeed({ seed, hours, bug, trace }: Run): Promise<Result> {
  const scheduler = new Scheduler();
  const random = new Random(seed);
  const { profile, pace, temper, quietMs } = settingOf(random, hours);
  const [replicas, witnesses] = random.pick([
    [3, 0],
    [3, 0],
    [2, 1],
    [2, 1],
    [4, 1],
  ] as const);
  const say: Trace | undefined =
    trace && ((line) => trace(`${(scheduler.now / 1000).toFixed(3).padStart(11)}  ${line}`));
  const hooks = bug === undefined ? {} : BUGS.find(({ name }) => name === bug);
  if (hooks === undefined)
    throw new Error(`There is no bug ${bug}: ${BUGS.map(({ name }) => name).join(', ')}`);
  const segments = SEGMENTS[seed % SEGMENTS.length]!;
  const world = new World({ scheduler, random, profile, replicas, witnesses, segments, hooks, trace: say });
  say?.(`seed ${seed}: ${replicas} replicas, ${witnesses} witnesses, ${JSON.stringify({ profile, temper })}`);
  world.countsWrites = random.chance(0.8);
  if (replicas > 2 && random.chance(0.3)) world.noFailover = world.replicas.at(-1);
  const twins = new Map(world.members.map((region) => [region, new RegionTwin(world, region, pace)]));
  world.onWrite = (region) => scheduler.after(random.between(20, 200), () => twins.get(region)!.hint());
  world.onAppend = (region) => {
    for (const to of world.replicas) {
      if (to !== region && !random.chance(world.network.weather.loss)) {
        scheduler.after(random.between(20, 300), () => twins.get(to)!.hint());
      }
    }
  };
  world.clocksMs = temper.wallMs;
  const faults = new Faults(world, twins, temper);
  const traps =
    seed % TRAPS_EVERY === 0 ? new Traps(world, twins, temper, new Random(seed ^ 0x7a9)) : undefined;
  const { monitor } = world;
  const first = random.pick(world.replicas.filter((region) => region !== world.noFailover));
  await world.found(first);
  for (const twin of twins.values()) scheduler.after(random.between(0, profile.lookMs), () => twin.start());

  const lookAgain = () => {
    twins.get(random.pick(world.members))!.look();
    scheduler.after(random.exponential(LOOK_LEASES * profile.leaseMs), lookAgain);
  };
  scheduler.after(0, lookAgain);
  const endMs = hours * 3_600_000;
  let over = false;
  void (async () => {
    await scheduler.sleep(5 * profile.leaseMs);
    while (scheduler.now < endMs) {
      faults.begin();
      traps?.begin();
      await scheduler.sleep(random.between(0.5, 1.5) * Math.max(RAGE_MS, 15 * profile.leaseMs));
      await traps?.end();
      faults.end();
      for (const twin of twins.values()) twin.endDoubles();
      await heal(world, twins);
      await scheduler.sleep(random.exponential(Math.max(quietMs, profile.leaseMs)));
    }
    over = true;
  })();
  await scheduler.run(() => {
    checkLeases(world, twins);
    return !over && monitor.violation === undefined;
  });
  if (monitor.violation) {
    const { invariant, text } = monitor.violation;
    say?.(`VIOLATED invariant ${invariant}: ${text}`);
  }
  return {
    seed,
    violation: monitor.violation,
    hours: scheduler.now / 3_600_000,
    events: scheduler.events,
    epoch: monitor.register?.epoch ?? 1,
    counts: monitor.counts,
  };
}

/** Once faults heal, the group comes back by itself within a bound; a failed step is driven again, as a person would. */
async function heal(world: World, twins: ReadonlyMap<RegionId, RegionTwin>): Promise<void> {
  const { scheduler, profile, monitor } = world;
  const began = scheduler.now;
  const { leaseMs, marginMs, takeoverMs, cooldownMs } = profile;
  const bound = began + 8 * (leaseMs + marginMs) + 6 * takeoverMs + 2 * cooldownMs + 300_000;
  const driven = new Set<unknown>();
  let why: string | undefined;
  for (;;) {
    await scheduler.sleep(profile.lookMs);
    // Nobody writes while the last tails are relayed, so that there is an end to compare.
    world.quiet = world.lastAckMs > began && scheduler.now > world.lastAckMs;
    why = await whyUnsettled(world, twins, began);
    if (why === undefined) break;
    if (scheduler.now > bound) {
      monitor.violated(13, `${Math.round(scheduler.now - began)} ms after the last fault: ${why}`);
      return;
    }
    for (const twin of twins.values()) {
      for (const execution of twin.workflow.executions.values()) {
        // Once: a step that fails for good is left to whoever takes the epoch over.
        if (execution.end !== 'Failed' || driven.has(execution)) continue;
        if (execution.input.epoch + 1 !== monitor.register?.epoch) continue;
        driven.add(execution);
        twin.workflow.redrive(execution);
      }
    }
  }
  monitor.data.settled(monitor.register!.leader, world.replicas);
  world.trace?.(`-- settled after ${Math.round(scheduler.now - began)} ms`);
  world.quiet = false;
}

async function whyUnsettled(
  world: World,
  twins: ReadonlyMap<RegionId, RegionTwin>,
  since: number,
): Promise<string | undefined> {
  const { monitor } = world;
  const register = monitor.register;
  if (register?.phase !== 'leading') return `the register says ${JSON.stringify(register)}`;
  const { leader, epoch } = register;
  if (twins.get(leader)!.leaseLeftMs <= 0) return `${leader} leads without a lease`;
  const { served } = world.dns;
  if (served?.epoch !== epoch || served.target !== targetOf(leader)) {
    return `DNS says ${JSON.stringify(served)}, but ${leader} leads epoch ${epoch}`;
  }
  if (world.lastAckMs < since) {
    return `no write was acknowledged at ${leader}${world.site(leader).store.fenced ? ', whose store is fenced' : ''}`;
  }
  const { log } = monitor;
  for (const region of world.replicas) {
    if (log.endOf(region) !== log.endOf(leader))
      return `the log of ${region} ends elsewhere than that of ${leader}`;
    const { control } = world.site(region);
    const { applied, snapshot } = await control.applyState(LANE_0);
    const end = log.lastOf(region);
    if (region !== leader && (applied?.lsn !== end || snapshot !== undefined))
      return `${region} has applied LSN ${applied?.lsn} of ${end}`;
  }
  return undefined;
}

/** Two leases need two Regions that take themselves for the leader: as a rule there is one, and nothing to compare. */
function checkLeases(world: World, twins: ReadonlyMap<RegionId, RegionTwin>): void {
  if (world.leaders.size < 2) return;
  const { monitor } = world;
  const holders: RegionId[] = [];
  const lent: RegionId[] = [];
  for (const region of world.leaders) {
    const site = world.site(region);
    const item = site.item();
    // A vote of its own is how a leader gives its lease up: applications read both in one item.
    const hasVoted = (item.vote ?? -1) >= epochOf(item);
    if (twins.get(region)!.leaseLeftMs > 0 && !hasVoted) holders.push(region);
    if (lendsTo(item, region, site.wall.now()) !== undefined) lent.push(region);
  }
  if (holders.length > 1) monitor.leadership.held(holders);
  if (lent.length > 1) monitor.leadership.held(lent);
}
