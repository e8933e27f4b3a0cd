import middy from '@middy/core';
import * as z from 'zod';
import { parsed, reported } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { tryWrite } from '#lib/aws/try-write.ts';
import { tableOf } from '#lib/domain/topology.ts';

const event = z.object({ kind: z.literal('probe') });

/** Whether this Region's table takes a write of a role that is not exempt from its fence. Nothing is written. */
export const handler = middy<z.infer<typeof event>, object>()
  .use(reported('probe'))
  .use(parsed(event))
  .handler(async () => {
    const { config, peers, region } = theRuntime();
    const { table, key } = tableOf(config);
    return { outcome: await tryWrite(peers.clients(region).dynamodb, table, key) };
  });
