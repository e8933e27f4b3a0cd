import { controlDeps } from '#functions/control-deps.ts';
import { dnsDeps } from '#functions/dns-deps.ts';
import { fenceAt } from '#functions/fence-deps.ts';
import { theRuntime } from '#functions/runtime.ts';
import { lambdaHostFence } from '#lib/aws/host-fence.ts';
import { LAG_ALARMS } from '#lib/domain/alarms.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { membersOf } from '#lib/domain/topology.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';
import type { HostFence } from '#lib/ports/sentinel-ports.ts';
import type { FailoverDeps, FailoverState } from '#lib/usecases/control/failover-deps.ts';

let ownHostFence: HostFence | undefined;

/** Fences hosts by something else than a Lambda function. Call it before first use. */
export function fenceHostsBy(other: HostFence): void {
  ownHostFence = other;
}

let known: Omit<FailoverDeps, 'alarmsOf'> | undefined;
let asked: { readonly run: string; readonly alarms: ReadonlyMap<RegionId, AlarmStates> } | undefined;

/** What the steps of a run work with. */
export function failoverDeps(state: FailoverState): FailoverDeps {
  known ??= createDeps();
  const { run } = state.input;
  if (asked?.run !== run) {
    openConnections();
    asked = { run, alarms: askForAlarms() };
  }
  const { alarms } = asked;
  return { ...known, alarmsOf: (at) => alarms.get(at)! };
}

/** Requests that a step has under way to one Region at a time, at the most. */
const CONNECTIONS = 6;

/** Makes the connections that the steps of a run are to need while its first one works: each costs round trips. */
function openConnections(): void {
  const { config, peers } = theRuntime();
  for (const region of membersOf(config)) {
    for (let each = 0; each < CONNECTIONS; each += 1)
      peers
        .acceptor(region)
        .read()
        .catch(() => {});
  }
}

/**
 * The lag alarms of all Regions, asked for with the first step of a run that comes here: by the time of the election
 * the connections are made and the answers there, and nobody has waited for either.
 */
function askForAlarms(): ReadonlyMap<RegionId, AlarmStates> {
  const { config, peers } = theRuntime();
  return new Map(
    config.regions.map(({ name }) => {
      const answer = peers.alarms(name).of(LAG_ALARMS);
      answer.catch(() => {});
      return [name, { of: () => answer }] as const;
    }),
  );
}

function createDeps(): Omit<FailoverDeps, 'alarmsOf'> {
  const { config, peers, engine, region } = theRuntime();
  const { priorities = {}, noFailover = [] } = config.failover;
  return {
    ...controlDeps(),
    group: config,
    storeOf: (at, leader) => engine.replica(at, leader),
    stream: engine.stream(region),
    fenceOf: fenceAt,
    ...optionalHostFence(),
    ...dnsDeps(),
    continues: config.failover.onLeaseLost === 'continue',
    rules: {
      priorityOf: (each) => priorities[each] ?? 0,
      noFailover: (each) => noFailover.includes(each),
    },
    history: peers.history(region),
  };
}

/** The user's hook, where there is one: a function of the configuration, or one that was set by `fenceHostsBy`. */
function optionalHostFence(): Pick<FailoverDeps, 'hostFence'> {
  const { config, peers } = theRuntime();
  if (ownHostFence !== undefined) return { hostFence: ownHostFence };
  const { hostFence } = config.failover;
  if (hostFence === undefined) return {};
  const clientIn = (place: string) => peers.clients(place as RegionId).lambda!;
  return { hostFence: lambdaHostFence(hostFence.functions, hostFence.timeoutSeconds * 1000, clientIn) };
}
