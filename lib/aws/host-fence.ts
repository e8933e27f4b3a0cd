import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';
import type { Proof } from '#lib/domain/control/fence.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { HostFence, HostFenceRequest } from '#lib/ports/sentinel-ports.ts';

/** What a user's hook answers. */
const answer = z.object({ fenced: z.boolean(), detail: z.string().max(1_000).default('it says no more') });

/** Longest text of a failure that is shown. */
const WHY = 300;

/** A user's hook within its time limit, ms: whatever goes wrong with it has proven nothing, and is the detail. */
export function hostFenceBy(
  hook: (request: HostFenceRequest) => Promise<unknown>,
  timeoutMs: number,
): HostFence {
  return {
    async fence(request): Promise<Proof> {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<Proof>((resolve) => {
        timer = setTimeout(resolve, timeoutMs, unproven(`the hook did not answer in ${timeoutMs} ms`));
      });
      const asked = async (): Promise<Proof> => {
        const parsed = answer.safeParse(await hook(request));
        if (!parsed.success)
          return unproven('the hook answers otherwise than {"fenced": true or false, "detail": text}');
        const { detail, fenced } = parsed.data;
        return { proven: fenced, detail: `the hook says: ${detail}` };
      };
      try {
        return await Promise.race([
          asked().catch((error) => unproven(`the hook failed: ${textOf(error)}`)),
          late,
        ]);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** A Lambda function for each Region, by ARN; it may live in any Region, best in one that is not fenced by it. */
export function lambdaHostFence(
  functions: Readonly<Record<RegionId, string>>,
  timeoutMs: number,
  clientIn: (region: string) => LambdaClient,
): HostFence {
  return hostFenceBy(async (request) => {
    const arn = functions[request.region];
    if (arn === undefined) return { fenced: false, detail: `there is none for ${request.region}` };
    const { FunctionError, Payload } = await clientIn(arn.split(':')[3]!).send(
      new InvokeCommand({ FunctionName: arn, Payload: JSON.stringify(request) }),
      { abortSignal: AbortSignal.timeout(timeoutMs) },
    );
    const text = Payload === undefined ? 'null' : Buffer.from(Payload).toString();
    if (FunctionError === undefined) return JSON.parse(text) as unknown;
    throw new UnderstudyError('HOST_FENCE_FAILED', `function ${arn} failed: ${text}`, 'See its log.');
  }, timeoutMs);
}

function textOf(error: unknown): string {
  return String(error instanceof Error ? error.message : error).slice(0, WHY);
}

function unproven(detail: string): Proof {
  return { proven: false, detail };
}
