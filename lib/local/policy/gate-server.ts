import { spawnNode } from '#lib/local/child.ts';
import type { GateOptions } from '#lib/local/policy/policy-gate.ts';
import { freePort } from '#lib/local/ports.ts';
import type { Server } from '#lib/local/supervised.ts';

/** Starts a policy gate before a DynamoDB server, on 127.0.0.1; policies survive SIGKILL. Throws SERVER_NOT_STARTED. */
export async function startGate(
  options: GateOptions & { readonly name?: string; readonly port?: number; readonly signal?: AbortSignal },
): Promise<Server> {
  const { file, name = 'policy gate', principals, signal, target } = options;
  const port = options.port ?? (await freePort());
  const child = spawnNode(new URL('./gate-process.ts', import.meta.url), {
    name,
    args: [String(port), String(target), file, JSON.stringify(principals)],
    ...(signal && { signal }),
  });
  await child.ready;
  return { ...child, port, endpoint: `http://127.0.0.1:${port}` };
}
