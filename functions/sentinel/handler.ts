import { setTimeout as sleep } from 'node:timers/promises';
import middy from '@middy/core';
import type { z } from 'zod';
import { controlDeps } from '#functions/control-deps.ts';
import { dnsDeps } from '#functions/dns-deps.ts';
import { fenceAt } from '#functions/fence-deps.ts';
import { parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { Duty } from '#functions/sentinel/duty.ts';
import { readyToLead } from '#functions/sentinel/ready-to-lead.ts';
import { surveyBy } from '#functions/survey.ts';
import { theWorkflow } from '#functions/workflow.ts';
import { lambdaTick } from '#lib/aws/lambda-tick.ts';
import type { Plan } from '#lib/domain/control/plan.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import { FenceKeeper } from '#lib/usecases/control/fence-keeper.ts';
import { type Fitness, noteFitness } from '#lib/usecases/control/note-fitness.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';
import { reattach } from '#lib/usecases/control/reattach.ts';
import { type RecordLook, repairRecord } from '#lib/usecases/control/repair-record.ts';
import { reportSafety, type SafetyDeps } from '#lib/usecases/control/report-safety.ts';
import { Sentinel } from '#lib/usecases/control/sentinel.ts';
import { watch } from '#lib/usecases/watch.ts';

/** How long one invocation looks on, ms: into the next one's, so that no minute ends a lease. */
const LOOK_ON_MS = 62_000;
/** Time left below which no further look is taken, ms. */
const RESERVE_MS = 4_000;
/** Time between two tries to take this Region back in, ms. */
const REATTACH_MS = 500;

let sentinel: Sentinel | undefined;
/** Of this Region's store while another leads; the leader's own sentinel has one of its own. */
let keeper: FenceKeeper | undefined;
const settled = new Set<Epoch>();
let fitness: Fitness | undefined;
let dns: ReturnType<typeof dnsDeps> | undefined;
/** What this Region has last found in DNS, as the leader. */
let recordLook: RecordLook | undefined;
/** Since when this Region has been waiting to be taken back in, by epoch. */
let waiting: { readonly epoch: Epoch; readonly sinceMs: number } | undefined;

/**
 * On a tick: looks after the group, look after look, until the time is up: beats, votes, failover; where there is data,
 * re-attachment and reports, too. A group that has no register yet is left alone.
 */
export const handler = middy<z.infer<typeof tick>, void>()
  .use(reported('sentinel'))
  .use(parsed(tick))
  .handler(async (_, context) => {
    const { control, ...deps } = controlDeps();
    const { acceptors, clock, region, telemetry } = deps;
    const { config } = theRuntime();
    const holdsData = !config.witnesses.includes(region);
    if (!(await mayHaveRegister(acceptors.of(region)))) return holdsData ? reportLag() : undefined;

    sentinel ??= new Sentinel({
      ...deps,
      group: config.group,
      countsWrites: config.failover.countedWrites ?? false,
      log: deps.peers.log(region),
      fence: fenceAt(region),
      makeReady: readyToLead({ engine: theRuntime().engine, region, captureNow: captureNow(), telemetry }),
      ...(config.failover.onLeaseLost && { onLeaseLost: config.failover.onLeaseLost }),
      ...(holdsData && {
        control,
        drain,
        workflow: theWorkflow(),
        hasCandidate: async () => (await planNow()).winner !== undefined,
      }),
    });
    const duty = (everyMs: number, work: () => Promise<unknown>, failed: string) =>
      new Duty({
        everyMs,
        steadyMs: clock.steadyMs,
        work,
        onError: (error) => telemetry.event(failed, { why: String(error) }),
      });
    const { reportMs } = config;
    // None waits for another: a leader that does not answer must hold up neither the looks nor what is known here.
    const duties = holdsData
      ? [
          duty(REATTACH_MS, takeBackIn, 'reattach-failed'),
          duty(reportMs, reportLag, 'watch-failed'),
          duty(reportMs, () => reportSafety(safetyDeps(sentinel!)), 'safety-failed'),
          // So long may a run make no progress before it counts as dead.
          duty(deps.profile.takeoverMs, () => repair(sentinel!), 'repair-failed'),
        ]
      : [
          duty(
            reportMs,
            () => reportSafety({ region, acceptor: acceptors.of(region), telemetry }),
            'safety-failed',
          ),
        ];
    const until = clock.steadyMs() + LOOK_ON_MS;
    while (clock.steadyMs() < until && context.getRemainingTimeInMillis() > RESERVE_MS) {
      const began = clock.steadyMs();
      for (const each of duties) each.attend();
      try {
        await sentinel.tick();
      } catch (error) {
        telemetry.event('look-failed', { why: String(error) });
      }
      await sleep(Math.max(1, sentinel.pauseMs - (clock.steadyMs() - began)));
    }
    // What is frozen half-way would tell of a minute ago when it goes on.
    const patience = sleep(context.getRemainingTimeInMillis() - RESERVE_MS / 2, undefined, { ref: false });
    await Promise.race([Promise.all(duties.map(({ done }) => done)), patience]);
  });

/** Brings the store of this Region up to its log. */
function drain(mayGoOn: () => boolean) {
  const { region, peers, engine, control, telemetry } = theRuntime();
  const storeOf = (leader: RegionId) => engine.replica(region, leader);
  return applyLog({ region, peers, control, storeOf, telemetry }, mayGoOn);
}

/** Of databases, on AWS: whoever leads anew reads the slot from then on, and not from the next tick. */
function captureNow(): (() => Promise<void>) | undefined {
  const { config, peers, region } = theRuntime();
  const { lambda } = peers.clients(region);
  const { captureFunction } = config;
  return lambda && captureFunction !== undefined ? lambdaTick(lambda, captureFunction) : undefined;
}

/** Where nobody can tell, the sentinel looks on: a Region that is cut off from its register must not go on leading. */
async function mayHaveRegister(own: Pick<AcceptorStore, 'read'>): Promise<boolean> {
  try {
    return (await own.read()).accepted !== undefined;
  } catch {
    return true;
  }
}

async function reportLag(): Promise<void> {
  const { config, region, peers, engine, control, telemetry, clock } = theRuntime();
  await watch({
    group: config,
    region,
    peers,
    control,
    telemetry,
    nowMs: clock.now,
    beat: (atMs) => engine.beat(region, atMs),
  });
  // Any Region may have to lead one day: whether it could must be known before that.
  fitness = await noteFitness({ check: () => engine.checkFitness(region), control, telemetry }, fitness);
}

/** The plan that `understudy plan` shows. */
function planNow(): Promise<Plan> {
  const deps = controlDeps();
  const { config } = theRuntime();
  const survey = () => surveyBy(deps);
  return planGroup({ config, profile: deps.profile, survey }, { kind: 'failover', force: false });
}

/** What a leader says of the whole group rests on that plan. */
function safetyDeps(sentinel: Sentinel): SafetyDeps {
  const { acceptors, control, peers, region, telemetry } = controlDeps();
  return {
    region,
    acceptor: acceptors.of(region),
    telemetry,
    replica: {
      control,
      divergences: peers.divergences(region),
      settled,
      plan: planNow,
      leaseLeft: () => sentinel.takeLeastLeft(),
    },
  };
}

/** What a run that died after the promotion has left undone in DNS, the leader does. */
async function repair(leading: Sentinel): Promise<void> {
  dns ??= dnsDeps();
  const { record, targetOf } = dns;
  if (record === undefined) return;
  const { acceptors, region, telemetry } = controlDeps();
  const leaseLeftMs = () => leading.leaseLeftMs;
  const deps = { region, acceptor: acceptors.of(region), leaseLeftMs, record, targetOf, telemetry };
  recordLook = await repairRecord(deps, recordLook);
}

/** The next step of this Region's way back, if it has one to go. */
async function takeBackIn(): Promise<void> {
  const { clock, control, peers, profile, region, telemetry, writePath } = controlDeps();
  const { epoch, attached, leader, led } = await control.role();
  if (leader === region) return;
  // A former leader's store stays shut until it is taken back in; a follower's is open, to be promoted at once.
  keeper ??= new FenceKeeper({ fence: fenceAt(region), clock, profile, telemetry });
  keeper.want(led !== undefined && attached !== epoch, epoch);
  if (attached === epoch) return;
  if (waiting?.epoch !== epoch) waiting = { epoch, sinceMs: clock.now() };
  const deps = {
    region,
    log: (at: typeof region) => peers.log(at),
    control,
    divergences: peers.divergences(region),
    rewinder: theRuntime().engine.rewinder(region, leader),
    writePath,
    clock,
    telemetry,
  };
  await reattach(deps, waiting.sinceMs);
}
