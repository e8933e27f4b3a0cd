import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import type { Clock } from '#lib/ports/telemetry.ts';

type Fields = Readonly<Record<string, string | number | boolean>>;
type TraceHeader = { readonly root: string; readonly parent: string };

/**
 * Notes in the trace of the invocation that is under way, as X-Ray's daemon takes them beside a Lambda function: one
 * datagram each, which nobody waits for. Without a daemon, or in a trace that is not sampled, there are none.
 */
export class XrayNotes {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #clock: Clock;
  #socket: Socket | undefined;

  /** @param env Lambda's: it names the daemon and, for each invocation anew, the trace. */
  constructor(deps: { env: Readonly<Record<string, string | undefined>>; clock: Clock }) {
    this.#env = deps.env;
    this.#clock = deps.clock;
  }

  /** The id of the trace, sampled or not. */
  get traceId(): string | undefined {
    return fieldsOf(this.#env._X_AMZN_TRACE_ID).get('Root');
  }

  /** Notes that something happened now. Numbers in decimal text are noted as numbers, which X-Ray can compare. */
  note(name: string, fields: Fields): void {
    const trace = sampled(this.#env._X_AMZN_TRACE_ID);
    const [host, port] = this.#env.AWS_XRAY_DAEMON_ADDRESS?.split(':') ?? [];
    if (trace === undefined || host === undefined || port === undefined) return;
    const seconds = this.#clock.now() / 1000;
    const subsegment = {
      type: 'subsegment',
      id: randomBytes(8).toString('hex'),
      trace_id: trace.root,
      parent_id: trace.parent,
      name,
      start_time: seconds,
      end_time: seconds,
      annotations: Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, comparable(value)])),
    };
    const message = `{"format": "json", "version": 1}\n${JSON.stringify(subsegment)}`;
    this.#socket ??= createSocket('udp4').unref();
    // A note that is lost is no loss to what it is about.
    this.#socket.send(message, Number(port), host, () => {});
  }
}

function sampled(header: string | undefined): TraceHeader | undefined {
  const fields = fieldsOf(header);
  const [root, parent] = [fields.get('Root'), fields.get('Parent')];
  if (root === undefined || parent === undefined || fields.get('Sampled') !== '1') return undefined;
  return { root, parent };
}

function fieldsOf(header = ''): ReadonlyMap<string, string> {
  return new Map(header.split(';').map((field) => field.split('=', 2) as [string, string]));
}

function comparable(value: string | number | boolean): string | number | boolean {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
}
