import * as z from 'zod';
import { hostFenceBy } from '#lib/aws/host-fence.ts';
import type { HostFence, HostFenceRequest } from '#lib/ports/sentinel-ports.ts';

/** How long a hook of the embedded cloud may take, ms. */
const TIMEOUT_MS = 2_000;

type Hook = (request: HostFenceRequest) => unknown;
const module = z.object({ fence: z.custom<Hook>((each) => typeof each === 'function', 'is no function') });

/** The hook of a module: what it exports as `fence`, called as a Lambda function would be. */
export async function localHostFence(url: string): Promise<HostFence> {
  const { fence } = module.parse({ ...(await import(url)) });
  return hostFenceBy(async (request) => fence(request), TIMEOUT_MS);
}
