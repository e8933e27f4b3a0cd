import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda';

/** How long Lambda may take to note that a function is to run, ms. */
const NOTED_MS = 5_000;

/** Has a function run at once, as its schedule does each minute; it is not waited for. */
export function lambdaTick(lambda: LambdaClient, functionName: string): () => Promise<void> {
  return async () => {
    const command = new InvokeCommand({
      FunctionName: functionName,
      InvocationType: 'Event',
      Payload: JSON.stringify({ kind: 'tick' }),
    });
    await lambda.send(command, { abortSignal: AbortSignal.timeout(NOTED_MS) });
  };
}
