import { spawnNode } from '#lib/local/child.ts';
import { freePort } from '#lib/local/ports.ts';
import type { Server } from '#lib/local/supervised.ts';

/** Starts the application of a Region on 127.0.0.1. Throws SERVER_NOT_STARTED. */
export async function startApplication(options: {
  /** For people. */
  readonly name: string;
  /** The functions' environment in that Region. */
  readonly env: Readonly<Record<string, string>>;
  /** Port of an earlier start, to come back on. */
  readonly port?: number;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
}): Promise<Server> {
  const port = options.port ?? (await freePort());
  const child = spawnNode(new URL('./application-process.ts', import.meta.url), {
    name: options.name,
    args: [String(port)],
    env: options.env,
    ...(options.signal && { signal: options.signal }),
  });
  await child.ready;
  return { ...child, port, endpoint: `http://127.0.0.1:${port}` };
}
