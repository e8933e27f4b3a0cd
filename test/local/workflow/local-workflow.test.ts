import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import {
  LocalWorkflow,
  type LocalWorkflowOptions,
  type Payload,
} from '#lib/local/workflow/local-workflow.ts';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';

const INPUT: FailoverInput = {
  group: 'orders',
  epoch: parseEpoch(7),
  kind: 'failover',
  run: 'orders-8-eu-west-1',
  trigger: 'votes',
  approval: false,
};
const FUNCTION = 'arn:aws:lambda:eu-west-1:000000000000:function:understudy-orders-failover';
const task = (step: string, more: object) => ({
  Type: 'Task',
  Resource: FUNCTION,
  Parameters: { step, 'state.$': '$' },
  ResultPath: `$.${step}`,
  ...more,
});
/** Two steps and a wait of an hour between them. */
const DEFINITION = {
  StartAt: 'First',
  States: {
    First: task('first', { Next: 'Rest' }),
    Rest: { Type: 'Wait', Seconds: 3600, Next: 'Second' },
    Second: task('second', { Next: 'Done' }),
    Done: { Type: 'Succeed' },
  },
} as LocalWorkflowOptions['definition'];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-workflow-'));
});
afterEach(() => rm(folder, { recursive: true }));

const open = (options: Partial<LocalWorkflowOptions> = {}) =>
  new LocalWorkflow({
    definition: DEFINITION,
    folder,
    invoke: async ({ step }) => ({ outcome: `${step} done` }),
    pauseMs: 0,
    ...options,
  });

describe('a run', () => {
  it('tells what happened to it, state by state', async () => {
    const told: RunEvent[] = [];
    const workflow = open({ onEvent: (event) => told.push(event) });
    expect(await workflow.start(INPUT)).toBe('started');
    await workflow.ended(INPUT.run);
    const first = { outcome: 'first done' };
    const second = { outcome: 'second done' };
    const at = { run: INPUT.run, atMs: expect.any(Number) };
    expect(told).toEqual([
      { ...at, kind: 'started', input: INPUT },
      { ...at, kind: 'entered', state: 'First', step: 'first' },
      { ...at, kind: 'left', state: 'First', step: 'first', output: first },
      { ...at, kind: 'entered', state: 'Rest' },
      { ...at, kind: 'left', state: 'Rest' },
      { ...at, kind: 'entered', state: 'Second', step: 'second' },
      { ...at, kind: 'left', state: 'Second', step: 'second', output: second },
      { ...at, kind: 'entered', state: 'Done' },
      { ...at, kind: 'left', state: 'Done' },
      { ...at, kind: 'succeeded', state: 'Done' },
    ]);
    expect(open().eventsOf(INPUT.run)).toEqual(told);
  });

  it('uses its name up, for whichever process comes later', async () => {
    const workflow = open();
    const both = [workflow.start(INPUT), workflow.start(INPUT)];
    expect(await Promise.all(both)).toEqual(['started', 'exists']);
    await workflow.ended(INPUT.run);
    expect(await open().start(INPUT)).toBe('exists');
    expect(await open().start({ ...INPUT, run: 'orders-9-eu-west-1' })).toBe('started');
  });

  it('takes from a step what JSON carries of it', async () => {
    const calls: Payload[] = [];
    const workflow = open({
      invoke: async (payload) => {
        calls.push(payload);
        return { outcome: 'ok', left: undefined };
      },
    });
    await workflow.start(INPUT);
    await workflow.ended(INPUT.run);
    expect(calls[1]!.state).toEqual({ ...INPUT, first: { outcome: 'ok' } });
  });
});

describe('a run that is cut off', () => {
  /** A workflow that is stopped while its run rests between the two steps. */
  async function cutOff(): Promise<void> {
    const resting = Promise.withResolvers<void>();
    const workflow = new LocalWorkflow({
      definition: DEFINITION,
      folder,
      invoke: async () => ({ outcome: 'ok' }),
      onEvent: (event) => {
        if (event.kind === 'entered' && event.state === 'Rest') resting.resolve();
      },
    });
    await workflow.start(INPUT);
    await resting.promise;
    await workflow.stop();
  }

  it('is begun anew by the next process, once', async () => {
    await cutOff();
    const next = open();
    expect(next.resume()).toEqual([INPUT.run]);
    expect(next.resume()).toEqual([]);
    expect(await next.ended(INPUT.run)).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(next.eventsOf(INPUT.run).filter(({ kind }) => kind === 'resumed')).toHaveLength(1);
    expect(open().resume()).toEqual([]);
  });

  it('is found even where the last line was torn', async () => {
    await cutOff();
    await appendFile(join(folder, `${INPUT.run}.jsonl`), '\n{"kind":"succee');
    const next = open();
    expect(next.resume()).toEqual([INPUT.run]);
    await next.ended(INPUT.run);
    expect(open().resume()).toEqual([]);
  });

  it('while a step hangs is let go of', async () => {
    const called = Promise.withResolvers<void>();
    const workflow = open({
      invoke: () => {
        called.resolve();
        return new Promise(() => {});
      },
    });
    await workflow.start(INPUT);
    await called.promise;
    await workflow.stop();
    expect(open().resume()).toEqual([INPUT.run]);
  });
});

describe('a definition', () => {
  const states = (more: object) => ({ ...DEFINITION, States: { ...DEFINITION.States, ...more } });

  it.each([
    ['calls another function', { Second: { ...task('second', { End: true }), Resource: `${FUNCTION}-2` } }],
    [
      'calls something else',
      { Second: { ...task('second', { End: true }), Resource: 'arn:aws:states:::sqs:sendMessage' } },
    ],
    ['names no step', { Second: { Type: 'Task', Resource: FUNCTION, Parameters: {}, End: true } }],
    ['holds states of its own', { Second: { Type: 'Parallel', Branches: [DEFINITION], End: true } }],
  ])('that %s is refused: nothing is ever called but the failover function', (_, more) => {
    expect(() => open({ definition: states(more) as LocalWorkflowOptions['definition'] })).toThrow(Error);
  });
});
