import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, expect, test } from 'vitest';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';
import { FenceKeeper } from '#lib/usecases/control/fence-keeper.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { RecordedTelemetry } from '../../support/recorded-telemetry.ts';

const LEASE = 1_000;
let calls: string[];
let now: number;
/** Ends the call that is under way. */
let end: { readonly resolve: () => void; readonly reject: (error: Error) => void };
let telemetry: RecordedTelemetry;
let keeper: FenceKeeper;

beforeEach(() => {
  calls = [];
  now = 0;
  telemetry = new RecordedTelemetry();
  const call = (name: string) => {
    calls.push(name);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    end = { resolve, reject };
    return promise;
  };
  const fence: EngineFence = {
    raise: async (epoch) => {
      await call(`raise ${epoch}`);
      return { proven: true, detail: 'refused' };
    },
    lower: async (epoch) => {
      await call(`lower ${epoch}`);
      return 'open';
    },
  };
  keeper = new FenceKeeper({ fence, clock: { steadyMs: () => now }, profile: { leaseMs: LEASE }, telemetry });
});

async function done(): Promise<void> {
  end.resolve();
  await turn();
}

test('moves a fence once, however often it is wanted', async () => {
  keeper.want(true, E1);
  await done();
  keeper.want(true, E1);
  expect(calls).toEqual(['raise 1']);
  keeper.want(true, E2);
  expect(calls).toEqual(['raise 1', 'raise 2']);
});

test('sends nothing while a call is under way: what was wanted last is done last', async () => {
  keeper.want(false, E1);
  keeper.want(true, E1);
  expect(calls).toEqual(['lower 1']);
  await done();
  keeper.want(true, E1);
  expect(calls).toEqual(['lower 1', 'raise 1']);
});

test('tries again what has failed, once a lease has passed', async () => {
  keeper.want(true, E1);
  end.reject(new Error('throttled'));
  await turn();
  expect(telemetry.kinds()).toEqual(['fence-failed']);
  keeper.want(true, E1);
  expect(calls).toHaveLength(1);
  now += LEASE;
  keeper.want(true, E1);
  expect(calls).toHaveLength(2);
});

test('looks again now and then: a late call of somebody else may have moved it', async () => {
  keeper.want(false, E1);
  await done();
  now += 20 * LEASE;
  keeper.want(false, E1);
  expect(calls).toEqual(['lower 1', 'lower 1']);
  await done();
  expect(telemetry.kinds()).toEqual(['fence-lowered']);
});
