import { expect, test } from 'vitest';
import { readyToLead } from '#functions/sentinel/ready-to-lead.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';

const region = parseRegionId('eu-west-1');
const epoch = parseEpoch(2);

function deps(captureNow: (() => Promise<void>) | undefined, makeReady = async () => {}) {
  const did: string[] = [];
  const told: string[] = [];
  return {
    did,
    told,
    region,
    engine: {
      makeReady: async () => {
        await makeReady();
        did.push('ready');
      },
    },
    captureNow:
      captureNow &&
      (() => {
        did.push('capture');
        return captureNow();
      }),
    telemetry: { event: (kind: string) => void told.push(kind), metrics: () => {} },
  };
}

test('whoever is to lead has capture read its store, once that is ready, and does not wait for it', async () => {
  const given = deps(() => new Promise(() => {}));
  await readyToLead(given)(epoch);
  expect(given.did).toEqual(['ready', 'capture']);
});

test('a capture that can not be told keeps nobody from leading, and is an event', async () => {
  const given = deps(() => Promise.reject(new Error('throttled')));
  await readyToLead(given)(epoch);
  await Promise.resolve();
  expect(given.told).toEqual(['capture-not-told']);
});

test('where an event source brings the changes, nobody is told', async () => {
  const given = deps(undefined);
  await readyToLead(given)(epoch);
  expect(given.did).toEqual(['ready']);
});

test('a store that is not ready is not led, nor read', async () => {
  const given = deps(
    async () => {},
    () => Promise.reject(new Error('no sequences')),
  );
  await expect(readyToLead(given)(epoch)).rejects.toThrow('no sequences');
  expect(given.did).toEqual([]);
});
