import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { failoverInput } from '#functions/failover/handler.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import { LocalWorkflow, type Payload } from '#lib/local/workflow/local-workflow.ts';
import { DRILLS, INPUTS, isShown, STATES, WAY } from '../support/drills-document.ts';

it('the way that it names is of states that do something', () => {
  expect(WAY.length).toBeGreaterThan(3);
  for (const name of WAY) expect(isShown(name), name).toBe(true);
});

it('it explains every state that calls and every end, and none that there is not', () => {
  const explained = [...DRILLS.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name!);
  expect(explained.toSorted()).toEqual(Object.keys(STATES).filter(isShown).toSorted());
});

it.each(INPUTS)('a run takes the input %s', async (text) => {
  const folder = await mkdtemp(join(tmpdir(), 'drills-'));
  const calls: Payload[] = [];
  const workflow = new LocalWorkflow({
    definition: failoverDefinition(parseGroupId('orders'), parseRegionId('eu-west-1')),
    folder,
    pauseMs: 0,
    invoke: async (payload) => {
      calls.push(payload);
      return payload.step === 'approve'
        ? { outcome: 'approved', by: 'mia' }
        : { outcome: 'refused', code: 'PLAN_STALE', why: 'the test', stopped: false };
    },
  });
  const given = JSON.parse(text);
  await workflow.start({ ...given, run: 'by-hand' });
  await workflow.ended('by-hand');
  await workflow.stop();
  await rm(folder, { recursive: true });
  const steps = given.approval === true ? ['approve', 'handover'] : ['handover'];
  expect(calls.map(({ step }) => step)).toEqual(steps);
  const { input } = calls[0]!.state as { readonly input: unknown };
  expect(failoverInput.parse(input)).toMatchObject({ ...given, group: 'orders', run: 'by-hand' });
});

it('the README leads here', () => {
  expect(INPUTS.length).toBeGreaterThan(1);
  expect(readFileSync('README.md', 'utf8')).toContain('docs/DRILLS.md');
});
