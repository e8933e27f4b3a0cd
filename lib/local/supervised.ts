import type { Readable } from 'node:stream';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** How a process ended: by itself with a code, or by a signal. */
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A process that this one started and answers for. */
export type Supervised = AsyncDisposable & {
  readonly name: string;
  readonly pid: number;
  /** Settles once the process is gone, whoever ended it; never rejects. */
  readonly exited: Promise<Exit>;
  /** Sends a signal to exactly this process; no effect once it is gone. */
  kill(signal: NodeJS.Signals): void;
  /** Ends the process at once (its data is durable by design) and returns when it is gone. */
  stop(): Promise<void>;
};

/** A server on a loopback port. To bring it back after it exited: start it again with the same options. */
export type Server = Supervised & { readonly port: number; readonly endpoint: string };

/** How long a server may take to come up; the usual time is well under a second. */
export const START_TIMEOUT_MS = 20_000;

const TAIL_CHARACTERS = 4096;

/** Keeps the last 4 KiB of a stream: the reason why a process failed. */
export function tailOf(stream: Readable): () => string {
  let tail = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-TAIL_CHARACTERS);
  });
  return () => tail.trim();
}

export function notStarted(name: string, why: string, stderr: string): UnderstudyError {
  const said = stderr === '' ? 'it said nothing' : `it said: ${stderr}`;
  return new UnderstudyError(
    'SERVER_NOT_STARTED',
    `the ${name} did not start (${why}; ${said})`,
    'Start it again; if that fails too, mend what it complains of.',
  );
}

export function describeExit({ code, signal }: Exit): string {
  return signal === null ? `exit status ${code}` : `ended by ${signal}`;
}

/** Settles like `started`, or fails with SERVER_NOT_STARTED when `timeoutMs` pass first. */
export async function withinStartTime<T>(
  name: string,
  started: Promise<T>,
  stderr: () => string,
  timeoutMs = START_TIMEOUT_MS,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(notStarted(name, `no answer within ${timeoutMs} ms`, stderr())),
    timeoutMs,
  );
  try {
    return await Promise.race([started, late]);
  } finally {
    clearTimeout(timer);
  }
}
