import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type ClientEvent, LeaderClient } from '#lib/client/leader-client.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

test('a Region that hangs when it is asked for its lease holds up no write at the next leader', async () => {
  const names = ['hanging', 'next'];
  const events: ClientEvent[] = [];
  const client = new LeaderClient<string>({
    finder: {
      find: async () => ({ target: names[0]! }),
      forget: () => void names.shift(),
    },
    open: (target) => ({
      handle: target,
      lease: {
        write: async (make) =>
          target === 'hanging' ? new Promise(() => {}) : { epoch: 2 as Epoch, result: await make() },
      },
    }),
    onEvent: (event) => void events.push(event),
    tryMs: 20,
    pauseMs: 1,
    now: () => Date.now(),
    sleep: (ms) => sleep(ms),
  });

  expect(await client.write(async (handle) => handle, { idempotent: false })).toBe('next');
  expect(events.map(({ kind, target }) => `${kind} ${target}`)).toEqual([
    'refused hanging',
    'converged next',
  ]);
});
