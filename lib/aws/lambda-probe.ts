import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { UnderstudyError } from '#lib/domain/errors.ts';

const answer = z.object({ outcome: z.enum(['refused', 'taken']) });

/** Tries a write as the function `probe` of a Region, whose role is no more than an application's. */
export function lambdaProbe(lambda: LambdaClient, name: string): () => Promise<'refused' | 'taken'> {
  return async () => {
    const { Payload, FunctionError } = await lambda.send(
      new InvokeCommand({ FunctionName: name, Payload: '{"kind":"probe"}' }),
    );
    const text = Payload === undefined ? '' : Buffer.from(Payload).toString();
    if (FunctionError === undefined) return answer.parse(JSON.parse(text)).outcome;
    throw new UnderstudyError(
      'FENCE_NOT_MOVED',
      `function ${name} failed: ${text}`,
      'See its log; the fence may be up, and nobody can tell.',
    );
  };
}
