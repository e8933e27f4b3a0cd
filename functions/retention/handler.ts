import { setTimeout as sleep } from 'node:timers/promises';
import middy from '@middy/core';
import type { z } from 'zod';
import { parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { retain } from '#lib/usecases/retain.ts';

/** Time left below which no further step is begun, ms. */
const RESERVE_MS = 5_000;

/** On a tick: trims the own log. */
export const handler = middy<z.infer<typeof tick>, void>()
  .use(reported('retention'))
  .use(parsed(tick))
  .handler(async (_, context) => {
    const { clock, config, peers, region, telemetry } = theRuntime();
    const outcome = await retain({
      group: config,
      region,
      peers,
      keeper: peers.keeper(region),
      policy: config.retention,
      clock,
      sleep: (ms) => sleep(ms, undefined, { ref: false }),
      telemetry,
      mayGoOn: () => context.getRemainingTimeInMillis() > RESERVE_MS,
    });
    telemetry.event('retention', { outcome });
  });
