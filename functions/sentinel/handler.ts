import middy from '@middy/core';
import type { z } from 'zod';
import { parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { watch } from '#lib/usecases/watch.ts';

/** On a tick: the leader's heartbeat, and this Region's lag as metrics. */
export const handler = middy<z.infer<typeof tick>, void>()
  .use(reported('sentinel'))
  .use(parsed(tick))
  .handler(async () => {
    const { config, region, peers, control, telemetry, clock } = theRuntime();
    await watch({
      group: config,
      region,
      peers,
      control,
      telemetry,
      nowMs: clock.now,
      beat: (atMs) => peers.store(region).put(heartbeatItem(config.key, atMs)),
    });
  });
