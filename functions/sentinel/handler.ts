import middy from '@middy/core';
import type { z } from 'zod';
import { parsed, reported, tick } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { watch } from '#lib/usecases/watch.ts';

/** On a tick: the leader's heartbeat, this Region's lag as metrics, and a look at the table's stream. */
export const handler = middy<z.infer<typeof tick>, void>()
  .use(reported('sentinel'))
  .use(parsed(tick))
  .handler(async () => {
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
  });
