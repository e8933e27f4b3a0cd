import { setTimeout as sleep } from 'node:timers/promises';
import middy from '@middy/core';
import type { z } from 'zod';
import { controlDeps } from '#functions/control-deps.ts';
import { parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { theWorkflow } from '#functions/workflow.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { DynamoRewinder } from '#lib/engines/dynamodb/dynamo-rewinder.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { reattach } from '#lib/usecases/control/reattach.ts';
import { Sentinel } from '#lib/usecases/control/sentinel.ts';
import { watch } from '#lib/usecases/watch.ts';

/** How long one invocation looks on, ms: into the next one's, so that no minute ends a lease. */
const LOOK_ON_MS = 62_000;
/** Time left below which no further look is taken, ms. */
const RESERVE_MS = 4_000;
/** Time between two reports of the lag while the sentinel looks on, ms. */
const WATCH_MS = 30_000;
/** Time between two tries to take this Region back in, ms. */
const REATTACH_MS = 500;

let sentinel: Sentinel | undefined;
/** Since when this Region has been waiting to be taken back in, by epoch. */
let waiting: { readonly epoch: Epoch; readonly sinceMs: number } | undefined;

/**
 * On a tick: reports this Region's lag, and then looks after the group, look after look, until the time is up: beats,
 * votes, failover, re-attachment. A group that has no register yet is left alone.
 */
export const handler = middy<z.infer<typeof tick>, void>()
  .use(reported('sentinel'))
  .use(parsed(tick))
  .handler(async (_, context) => {
    const deps = controlDeps();
    const { acceptors, clock, profile, region, telemetry } = deps;
    const report = () =>
      reportLag().catch((error) => telemetry.event('watch-failed', { why: String(error) }));
    let reported = clock.steadyMs();
    const first = reportLag();
    const { accepted } = await acceptors.of(region).read();
    if (accepted === undefined) return first;
    await first.catch((error) => telemetry.event('watch-failed', { why: String(error) }));

    sentinel ??= new Sentinel({
      ...deps,
      group: theRuntime().config.group,
      log: deps.peers.log(region),
      fence: noFence,
      workflow: theWorkflow(),
    });
    let attaching: Promise<void> | undefined;
    let attachDue = 0;
    const until = clock.steadyMs() + LOOK_ON_MS;
    while (clock.steadyMs() < until && context.getRemainingTimeInMillis() > RESERVE_MS) {
      const began = clock.steadyMs();
      try {
        await sentinel.tick();
      } catch (error) {
        telemetry.event('look-failed', { why: String(error) });
      }
      if (attaching === undefined && began >= attachDue) {
        attachDue = began + REATTACH_MS;
        attaching = takeBackIn()
          .catch((error) => telemetry.event('reattach-failed', { why: String(error) }))
          .finally(() => {
            attaching = undefined;
          });
      }
      if (clock.steadyMs() - reported > WATCH_MS) {
        reported = clock.steadyMs();
        void report();
      }
      await sleep(Math.max(1, profile.lookMs - (clock.steadyMs() - began)));
    }
    await attaching;
  });

/** There is no fence of the engine's own here: the report says so. */
const noFence = { raise: async () => 'unproven' as const, lower: async () => {} };

async function reportLag(): Promise<void> {
  const { config, region, peers, control, telemetry, clock } = theRuntime();
  const store = peers.store(region);
  await watch({
    group: config,
    region,
    peers,
    control,
    telemetry,
    nowMs: clock.now,
    beat: (atMs) => store.put(heartbeatItem(config.key, atMs)),
  });
  // Any Region may have to lead one day: its stream must be fit for capture before that.
  await store.checkStream();
}

/** The next step of this Region's way back, if it has one to go. */
async function takeBackIn(): Promise<void> {
  const { clock, control, peers, region, telemetry, writePath } = controlDeps();
  const { epoch, attached, leader } = await control.role();
  if (leader === region || attached === epoch) return;
  if (waiting?.epoch !== epoch) waiting = { epoch, sinceMs: clock.now() };
  const replica = new DynamoReplica({
    store: peers.store(region),
    leader: peers.store(leader),
    control,
    key: theRuntime().config.key,
  });
  const deps = {
    region,
    log: (at: typeof region) => peers.log(at),
    control,
    divergences: peers.divergences(region),
    rewinder: new DynamoRewinder({ key: theRuntime().config.key, replica }),
    writePath,
    clock,
    telemetry,
  };
  await reattach(deps, waiting.sinceMs);
}
