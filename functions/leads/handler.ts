import middy from '@middy/core';
import * as z from 'zod';
import { parsed, reported } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { leadershipOf } from '#lib/domain/control/leadership.ts';

/** A request to the function's URL. Nothing in it is read: whoever asks gets the same answer. */
const request = z.looseObject({ requestContext: z.looseObject({ http: z.looseObject({}) }) });

/** Tells health checks by the status alone whether this Region leads and holds the lease now: 200, or 503. */
export const handler = middy<z.infer<typeof request>, { readonly statusCode: 200 | 503 }>()
  .use(reported('leads'))
  .use(parsed(request))
  .handler(async () => {
    const { clock, peers, region } = theRuntime();
    const own = await peers.acceptor(region).read();
    return { statusCode: typeof leadershipOf(own, region, clock.now()) === 'string' ? 503 : 200 };
  });
