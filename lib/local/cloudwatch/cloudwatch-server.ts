import { spawnNode } from '#lib/local/child.ts';
import { freePort } from '#lib/local/ports.ts';
import type { Server } from '#lib/local/supervised.ts';

export type CloudWatchServerOptions = {
  /** A file of `AlarmDefinitions` as JSON. */
  readonly alarms: string;
  /** How long a minute of the alarms takes, ms. */
  readonly minuteMs: number;
  /** For people, e.g. `CloudWatch of eu-west-1`. */
  readonly name: string;
  /** Port of an earlier start, to come back on; a free one if absent. It has forgotten all figures. */
  readonly port?: number;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
};

/** Starts a CloudWatch-compatible API on 127.0.0.1. Throws SERVER_NOT_STARTED. */
export async function startCloudWatchServer(options: CloudWatchServerOptions): Promise<Server> {
  const { alarms, minuteMs, name, port = await freePort(), signal } = options;
  const child = spawnNode(new URL('./cloudwatch-process.ts', import.meta.url), {
    name,
    args: [String(port), alarms, String(minuteMs)],
    ...(signal && { signal }),
  });
  await child.ready;
  return { ...child, port, endpoint: `http://127.0.0.1:${port}` };
}
