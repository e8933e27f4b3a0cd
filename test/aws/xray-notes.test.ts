import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { EmfTelemetry } from '#lib/aws/emf-telemetry.ts';
import { XrayNotes } from '#lib/aws/xray-notes.ts';

const ROOT = '1-5759e988-bd862e3fe1be46a994272793';
const SAMPLED = `Root=${ROOT};Parent=53995c3f42cd8ad8;Sampled=1`;
const clock = { now: () => 1_700_000_000_123 };

/** A subsegment that is sent by itself, as X-Ray takes it ("AWS X-Ray segment documents"). */
const subsegment = z.strictObject({
  type: z.literal('subsegment'),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  trace_id: z.string().regex(/^1-[0-9a-f]{8}-[0-9a-f]{24}$/),
  parent_id: z.string().regex(/^[0-9a-f]{16}$/),
  name: z.string().regex(/^[\w\s.:/%&#=+\\\-@]{1,200}$/),
  start_time: z.number(),
  end_time: z.number(),
  annotations: z.record(z.string().regex(/^\w+$/), z.union([z.string(), z.number(), z.boolean()])),
});

let daemon: Socket;
let address: string;
beforeEach(async () => {
  daemon = createSocket('udp4').bind(0, '127.0.0.1');
  await once(daemon, 'listening');
  address = `127.0.0.1:${daemon.address().port}`;
});
afterEach(() => {
  daemon.close();
});

async function received(): Promise<z.infer<typeof subsegment>> {
  const [message] = (await once(daemon, 'message')) as [Buffer];
  const [header, body] = message.toString().split('\n');
  expect(JSON.parse(header!)).toEqual({ format: 'json', version: 1 });
  return subsegment.parse(JSON.parse(body!));
}

describe('a note in a trace', () => {
  test('reaches the daemon with its figures as numbers, so that a record is found by its LSN', async () => {
    const notes = new XrayNotes({
      env: { _X_AMZN_TRACE_ID: SAMPLED, AWS_XRAY_DAEMON_ADDRESS: address },
      clock,
    });
    const next = received();
    notes.note('captured', { lane: '0', epoch: 3, firstLsn: '41', lastLsn: '42', group: 'orders' });
    expect(await next).toMatchObject({
      trace_id: ROOT,
      parent_id: '53995c3f42cd8ad8',
      name: 'captured',
      start_time: 1_700_000_000.123,
      annotations: { lane: 0, epoch: 3, firstLsn: 41, lastLsn: 42, group: 'orders' },
    });
  });

  test('is none in a trace that is not sampled, without a trace, and without a daemon', async () => {
    const first = new XrayNotes({
      env: { _X_AMZN_TRACE_ID: SAMPLED, AWS_XRAY_DAEMON_ADDRESS: address },
      clock,
    });
    for (const env of [
      { _X_AMZN_TRACE_ID: SAMPLED.replace('Sampled=1', 'Sampled=0'), AWS_XRAY_DAEMON_ADDRESS: address },
      { AWS_XRAY_DAEMON_ADDRESS: address },
      { _X_AMZN_TRACE_ID: SAMPLED },
    ]) {
      new XrayNotes({ env, clock }).note('none', { lastLsn: '1' });
    }
    const next = received();
    first.note('one', { lastLsn: '2' });
    expect((await next).name).toBe('one');
  });
});

test('a log line bears the trace of its invocation, and one about records is a note there too', async () => {
  const env: Record<string, string> = { AWS_XRAY_DAEMON_ADDRESS: address };
  const lines: string[] = [];
  const telemetry = new EmfTelemetry({
    write: (line) => lines.push(line),
    clock,
    context: { group: 'orders', region: 'eu-west-1' },
    notes: new XrayNotes({ env, clock }),
  });
  telemetry.event('voted', { epoch: 1 });
  env._X_AMZN_TRACE_ID = SAMPLED;
  telemetry.event('voted', { epoch: 2 });
  const next = received();
  telemetry.event('applied', { lane: '0', epoch: 2, firstLsn: '1', lastLsn: '9' });
  expect((await next).annotations).toMatchObject({ group: 'orders', region: 'eu-west-1', lastLsn: 9 });
  expect(lines.map((line) => JSON.parse(line).traceId)).toEqual([undefined, ROOT, ROOT]);
});
