import type { Plan } from '#lib/domain/control/plan.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { Figures } from '#lib/ports/telemetry.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';
import { type SurveyDeps, surveyGroup } from '#lib/usecases/control/survey.ts';
import { watch } from '#lib/usecases/watch.ts';
import type { Process } from './process.ts';
import { targetOf, type World } from './world.ts';

/** How long a Region may take to answer, ms. */
const PATIENCE_MS = 5_000;

/** What an operator's `plan` does, from any Region, in the middle of whatever goes on. The world sees that it changes nothing. */
export async function lookAhead(world: World, process: Process): Promise<void> {
  const { hooks, monitor } = world;
  const sound = surveyDeps(world, process);
  await planBy(world, hooks.survey?.(sound, (region) => world.log(process, region)) ?? sound);
  monitor.counts.looks += 1;
}

/** What a sentinel finds out of an election to come. */
export async function hasCandidate(world: World, process: Process): Promise<boolean> {
  return (await planBy(world, surveyDeps(world, process))).winner !== undefined;
}

function surveyDeps(world: World, process: Process): SurveyDeps {
  const { members, replicas } = world;
  const acceptors = world.acceptors(process);
  return {
    replicas,
    witnesses: members.filter((region) => !replicas.includes(region)),
    peers: {
      acceptor: (region) => acceptors.of(region),
      log: (region) => world.log(process, region),
      control: (region) => world.control(process, region),
      divergences: (region) => world.divergences(process, region),
    },
    record: { name: 'orders.example', of: world.leaderRecord(process) },
    clock: process.clock,
    sleep: process.sleep,
    patienceMs: PATIENCE_MS,
  };
}

function planBy({ group, members, profile }: World, deps: SurveyDeps): Promise<Plan> {
  const config = {
    group: group.group,
    engine: group.engine,
    logTable: 'log',
    controlTable: 'control',
    buckets: {},
    failover: {
      profile: PROFILES.balanced.name,
      targets: Object.fromEntries(members.map((at) => [at, targetOf(at)])),
    },
  };
  const survey = () => surveyGroup(deps);
  return planGroup({ config, profile, survey }, { kind: 'failover', force: false });
}

/** What a follower's sentinel tells of its lag, against the true lag when the last of what it goes by was read. */
export async function tellLag(world: World, process: Process): Promise<void> {
  const { group, hooks, monitor, network } = world;
  const { region } = process;
  const truthNow = async () => {
    const { register } = monitor;
    if (register?.phase !== 'leading') return undefined;
    const { applied } = await world.site(region).control.applyState(LANE_0);
    return {
      epoch: register.epoch,
      durable: monitor.data.lagOf(register.leader, monitor.log.lastOf(region)),
      applied: applied && monitor.data.lagOf(register.leader, applied.lsn),
    };
  };
  let truth: Awaited<ReturnType<typeof truthNow>>;
  const read = async <T>(at: RegionId, name: string, effect: () => Promise<T>): Promise<T> => {
    const both = async () => ({ value: await effect(), truth: await truthNow() });
    const answer = await network.call(process, at, 'control', name, [], both);
    truth = answer.truth;
    return answer.value;
  };
  const sound: GroupPeers = {
    log: (at) => ({
      ...world.log(process, at),
      head: (lane) => read(at, 'log.head', () => world.site(at).log.head(lane)),
    }),
    control: (at) => ({
      applyState: (lane) => read(at, 'control.applyState', () => world.site(at).control.applyState(lane)),
    }),
  };
  const own = world.control(process, region);
  let role: Role | undefined;
  let figures: Figures = {};
  await watch({
    group,
    region,
    peers: hooks.lag?.(sound) ?? sound,
    control: {
      async role() {
        role = await own.role();
        return role;
      },
    },
    telemetry: {
      event: () => {},
      metrics: (told) => {
        figures = told;
      },
    },
    nowMs: () => process.clock.now(),
    beat: async () => {},
  });
  // What lags is a Region that follows the leader there is: any other is on its way to become one.
  const follows = role !== undefined && role.leader !== region && role.attached === role.epoch;
  if (!follows || truth?.epoch !== role?.epoch || truth === undefined) return;
  const told = [
    {
      of: 'log',
      records: figures.DurableLagRecords,
      seconds: figures.DurableLagSeconds,
      truth: truth.durable,
    },
    {
      of: 'store',
      records: figures.AppliedLagRecords,
      seconds: figures.AppliedLagSeconds,
      truth: truth.applied,
    },
  ];
  for (const each of told) {
    if (each.records === undefined || each.seconds === undefined || each.truth === undefined) continue;
    monitor.counts.lags += 1;
    const { records, ms } = each.truth;
    // Figures of seconds go by two Regions' clocks.
    if (each.records < records || each.seconds * 1000 + world.clocksMs < ms) {
      const said = `${each.records} records and ${each.seconds} s were reported, ${records} records and ${ms / 1000} s are true`;
      monitor.violated(7, `${region}: of the lag of its ${each.of} ${said}`);
    }
  }
}
