import middy, { type MiddlewareObj } from '@middy/core';
import * as z from 'zod';
import { failoverDeps } from '#functions/failover-deps.ts';
import { counted, STEPS } from '#functions/failover-steps.ts';
import { parsed, reported } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { type FailoverState, knownBy } from '#lib/usecases/control/failover-deps.ts';
import { takeStep } from '#lib/usecases/control/take-step.ts';

/** What a run is started with, filled in by the state machine. */
export const failoverInput = z.strictObject({
  group: z.string(),
  epoch: z.int().nonnegative().transform(parseEpoch),
  kind: z.enum(['failover', 'switchover']),
  run: z.string().min(1),
  trigger: z.enum(['votes', 'operator', 'drill']),
  successor: z.string().transform(parseRegionId).exactOptional(),
  force: z.boolean().exactOptional(),
  reason: z.string().exactOptional(),
  approval: z.boolean(),
});
const state = z.looseObject({ input: failoverInput });
const steps = z.enum(Object.keys(STEPS) as [keyof typeof STEPS, ...(keyof typeof STEPS)[]]);

/** A state of the workflow that calls: which one, with its whole document. */
const event = z.union([
  z.object({ step: z.literal('approve'), state, token: z.string().min(1) }),
  z.object({ step: steps, state }),
]);

/** One step of a failover. Answers what the state machine decides by, and what its console shows. */
export const handler = middy<z.infer<typeof event>, object>()
  .use(named())
  .use(reported('failover'))
  .use(parsed(event))
  .handler(async (received) => {
    const { step } = received;
    const document = received.state as FailoverState;
    refuseForeign(document);
    if (step === 'approve') return ask(received.token, document);
    const known = knownBy(document);
    return counted(
      step,
      document,
      await takeStep<{ outcome: string }>(failoverDeps(known), known, step, STEPS[step]),
    );
  });

/** The answer matters only where the workflow is not that of Step Functions, which waits for the token. */
async function ask(token: string, { input }: FailoverState): Promise<object> {
  const { peers, region, clock } = theRuntime();
  const answer = await peers.approvals(region).ask(token, { input, askedAtMs: clock.now() });
  return answer === 'waiting' ? { outcome: 'waiting' } : answer;
}

/** No run of one group may touch another. */
function refuseForeign({ input: { group, successor } }: FailoverState): void {
  const { config } = theRuntime();
  const names = config.regions.map(({ name }) => name);
  const foreign = group !== config.group ? `group ${group}` : undefined;
  const unknown = successor !== undefined && !names.includes(successor) ? `Region ${successor}` : undefined;
  const what = foreign ?? unknown;
  if (what === undefined) return;
  throw new UnderstudyError(
    'EVENT_INVALID',
    `the input of the run names ${what}, and this is the workflow of group ${config.group}`,
    `Start a run for group ${config.group}, with a successor among ${names.join(', ')} or none.`,
  );
}

/** Step Functions shows a failure by its name: the code says more than the class. */
function named(): MiddlewareObj {
  return {
    onError: (request) => {
      const { error } = request;
      if (!isFailure(error)) return;
      request.error = Object.assign(new Error(error.message, { cause: error }), { name: error.code });
    },
  };
}
