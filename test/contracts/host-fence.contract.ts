import { describe, expect, test } from 'vitest';
import { parseEpoch } from '#lib/domain/lsn.ts';
import type { HostFence, HostFenceRequest } from '#lib/ports/sentinel-ports.ts';
import { EU } from '../support/memory-group.ts';

/** How a user's hook behaves; `hang` never answers. */
export type HookBehaviour = (request: HostFenceRequest) => unknown | 'hang';

const REQUEST: HostFenceRequest = {
  group: 'orders',
  region: EU,
  epoch: parseEpoch(7),
  reason: 'failover, votes',
};

/** What every way to call a user's hook must do. @param open a fence whose hook behaves so, with this time limit, ms. */
export function hostFenceContract(
  name: string,
  open: (
    behave: HookBehaviour,
    timeoutMs: number,
  ) => Promise<AsyncDisposable & { readonly fence: HostFence }>,
): void {
  describe(`a host fence: ${name}`, () => {
    const ask = async (behave: HookBehaviour, timeoutMs = 5_000) => {
      await using opened = await open(behave, timeoutMs);
      return await opened.fence.fence(REQUEST);
    };

    test('gives the hook what it needs to know, and its word is the proof', async () => {
      const asked: unknown[] = [];
      const proof = await ask((request) => {
        asked.push(request);
        return { fenced: true, detail: '3 instances stopped' };
      });
      expect(asked).toEqual([REQUEST]);
      expect(proof).toEqual({ proven: true, detail: 'the hook says: 3 instances stopped' });
    });

    test('is unproven where the hook says so', async () => {
      expect(await ask(() => ({ fenced: false, detail: 'one is still up' }))).toEqual({
        proven: false,
        detail: 'the hook says: one is still up',
      });
    });

    test.each([
      ['nothing', null],
      ['text', 'fenced'],
      ['a number for yes', { fenced: 1 }],
    ])('is unproven where the hook answers %s', async (_, answer) => {
      expect(await ask(() => answer)).toMatchObject({
        proven: false,
        detail: expect.stringContaining('answers otherwise'),
      });
    });

    test('is unproven where the hook fails, and says why', async () => {
      const proof = await ask(() => {
        throw new Error('no such instance');
      });
      expect(proof).toMatchObject({ proven: false, detail: expect.stringContaining('no such instance') });
    });

    test('waits no longer than its time limit for a hook that hangs', async () => {
      expect(await ask(() => 'hang', 100)).toMatchObject({
        proven: false,
        detail: expect.stringMatching(/did not answer in 100 ms|failed/),
      });
    });
  });
}
