import { GetFunctionConfigurationCommand, type LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';

const schema = z.record(z.string(), z.unknown());

/**
 * What a deployed function was told of its group, as `readConfig` takes it. Throws what Lambda answers, and what is not
 * the configuration of a function of Understudy's.
 */
export async function deployedConfig(
  lambda: LambdaClient,
  functionName: string,
): Promise<Readonly<Record<string, unknown>>> {
  const command = new GetFunctionConfigurationCommand({ FunctionName: functionName });
  const { Environment } = await lambda.send(command);
  return schema.parse(JSON.parse(Environment?.Variables?.UNDERSTUDY_CONFIG ?? 'null'));
}
