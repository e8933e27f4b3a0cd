import { setTimeout as sleep } from 'node:timers/promises';
import middy from '@middy/core';
import * as z from 'zod';
import { hint, parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { pull } from '#lib/usecases/pull.ts';
import { pusher } from '#lib/usecases/push.ts';

const event = z.union([hint, tick]);

let push: (() => Promise<void>) | undefined;

/** On a hint: pushes to the followers that this Region feeds. On a tick: also repairs the own log by pulling. */
export const handler = middy<z.infer<typeof event>, void>()
  .use(reported('relay'))
  .use(parsed(event))
  .handler(async (received) => {
    const { config, region, peers, control, telemetry, clock } = theRuntime();
    const deps = { group: config, region, peers, control, telemetry, clock };
    push ??= pusher({ ...deps, sleep: (ms) => sleep(ms, undefined, { ref: false }) });
    const pulled = 'kind' in received ? pull(deps) : undefined;
    await Promise.all([push(), pulled]);
  });
