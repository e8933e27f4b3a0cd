import { spawnNode } from '#lib/local/child.ts';
import { freePort } from '#lib/local/ports.ts';
import type { Server } from '#lib/local/supervised.ts';

export type S3ServerOptions = {
  /** Directory that holds objects and queues; made if absent. */
  readonly directory: string;
  /** For people, e.g. `S3 server of eu-west-1`. */
  readonly name?: string;
  /** Port of an earlier start, to come back on; a free one if absent. */
  readonly port?: number;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
};

/**
 * Starts an S3- and SQS-compatible server on 127.0.0.1; what it has answered survives SIGKILL.
 * Throws SERVER_NOT_STARTED.
 */
export async function startS3Server(options: S3ServerOptions): Promise<Server> {
  const { directory, name = 'S3 server', signal } = options;
  const port = options.port ?? (await freePort());
  const child = spawnNode(new URL('./s3-process.ts', import.meta.url), {
    name,
    args: [String(port), directory],
    ...(signal && { signal }),
  });
  await child.ready;
  return { ...child, port, endpoint: `http://127.0.0.1:${port}` };
}
