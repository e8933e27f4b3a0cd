import middy from '@middy/core';
import * as z from 'zod';
import { hint, parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { applyLog, type Holding } from '#lib/usecases/apply.ts';

const event = z.union([hint, tick]);

/** Time left below which no further run is begun, ms. */
const RESERVE_MS = 5_000;

let held: Holding | undefined;
let running: Promise<unknown> = Promise.resolve();

/** On a hint or a tick: applies what the own log holds. */
export const handler = middy<z.infer<typeof event>, void>()
  .use(reported('apply'))
  .use(parsed(event))
  .handler((_, context) => {
    // One at a time in a process: two would take the lease from each other by turns.
    const turn = running.then(() => applyOnce(() => context.getRemainingTimeInMillis() > RESERVE_MS));
    running = turn.catch(() => {});
    return turn;
  });

async function applyOnce(mayGoOn: () => boolean): Promise<void> {
  const { region, peers, engine, control, telemetry } = theRuntime();
  const storeOf = (leader: RegionId) => engine.replica(region, leader);
  const holding = held;
  // Not held while the call is under way: a call that fails leaves nothing to go on from.
  held = undefined;
  const deps = { region, peers, control, storeOf, telemetry };
  held = await applyLog(deps, mayGoOn, holding);
  // Who has taken the lease may have looked at the log before the entry that this call is about was there.
  if (holding !== undefined && held === undefined) held = await applyLog(deps, mayGoOn);
}
