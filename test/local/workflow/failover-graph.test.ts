import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateMachine } from 'aws-local-stepfunctions';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { counted } from '#functions/failover-steps.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import { LocalWorkflow, type Payload, type RunEnd } from '#lib/local/workflow/local-workflow.ts';

const EU = parseRegionId('eu-west-1');
const DEFINITION = failoverDefinition(parseGroupId('orders'), EU);
const INPUT: FailoverInput = {
  group: 'orders',
  epoch: parseEpoch(7),
  kind: 'failover',
  run: 'orders-8-eu-west-1',
  trigger: 'votes',
  approval: false,
};
const SUPERSEDED = { outcome: 'superseded', epoch: 9, leader: 'us-east-1' };

type Answer = { readonly outcome: string } & Readonly<Record<string, unknown>>;
/** What the steps answer, call by call; the last answer stands for all that follow. */
type Script = Readonly<Record<string, readonly (Answer | Error)[]>>;

const HAPPY: Script = {
  approve: [{ outcome: 'approved', by: 'mia' }],
  handover: [{ outcome: 'handed-over', yield: {}, claim: {}, fence: {}, elect: {}, promote: {} }],
  claim: [{ outcome: 'claimed', epoch: 8, from: 'eu-west-1', coordinator: 'us-east-1', silent: [] }],
  fence: [{ outcome: 'fenced', seals: [], rungs: {} }],
  elect: [{ outcome: 'elected', winner: 'us-east-1', candidates: [], rpo: { records: null, ms: null } }],
  drain: [{ outcome: 'drained', lsn: '41' }],
  promote: [{ outcome: 'promoted', leader: 'us-east-1', epoch: 8 }],
  repoint: [{ outcome: 'submitted', change: 'C1', target: 'us.example.com' }],
  dns: [{ outcome: 'in-sync' }],
  verify: [{ outcome: 'verified', leader: 'us-east-1', target: 'us.example.com' }],
  abandon: [{ outcome: 'abandoned' }],
};
const FAILED = new UnderstudyError('REGION_UNREACHABLE', 'no answer', 'Wait.');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-workflow-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Runs the workflow on a script; the steps that were called, in order, and how it ended. */
async function run(
  script: Script,
  input: Partial<FailoverInput> = {},
): Promise<{ steps: readonly string[]; calls: readonly Payload[]; end: RunEnd | undefined }> {
  const calls: Payload[] = [];
  const workflow = new LocalWorkflow({
    definition: DEFINITION,
    folder,
    pauseMs: 0,
    invoke: async (payload) => {
      const { step, state } = payload;
      const answers = script[step] ?? HAPPY[step]!;
      const before = calls.filter((call) => call.step === step).length;
      calls.push(payload);
      const answer = answers[Math.min(before, answers.length - 1)]!;
      if (answer instanceof UnderstudyError)
        throw Object.assign(new Error(answer.message), { name: answer.code });
      return counted(step, state as Record<string, unknown>, answer);
    },
  });
  await workflow.start({ ...INPUT, ...input });
  const end = await workflow.ended(INPUT.run);
  return { steps: calls.map(({ step }) => step), calls, end };
}

const times = (count: number, step: string) => Array.from({ length: count }, () => step);
const failedAs = (state: string, error: string) => ({ kind: 'failed', state, error });

describe('a failover', () => {
  const PATH = ['claim', 'fence', 'elect', 'drain', 'promote', 'repoint', 'dns', 'verify'];

  it('goes from the claim to a verified leader, and each step knows what those before it found', async () => {
    const { steps, calls, end } = await run(HAPPY);
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps).toEqual(PATH);
    const { state } = calls.at(-1)! as { state: Record<string, unknown> };
    expect(Object.keys(state)).toEqual(['input', ...PATH.slice(0, -1)]);
    expect(state).toMatchObject({ input: INPUT, elect: { winner: 'us-east-1', rpo: { records: null } } });
  });

  it('waits for a change of DNS that was made before, too', async () => {
    const { steps, end } = await run({ repoint: [{ outcome: 'already', target: 'us.example.com' }] });
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps).toEqual(PATH);
  });

  it.each(['claim', 'fence', 'drain', 'promote', 'repoint', 'verify'])(
    'that finds at %s that another run was first has nothing left to do',
    async (step) => {
      const { steps, end } = await run({ [step]: [SUPERSEDED] });
      expect(end).toMatchObject({ kind: 'succeeded', state: 'Superseded' });
      expect(steps).toEqual(PATH.slice(0, PATH.indexOf(step) + 1));
    },
  );

  it.each([
    ['claim', 'withheld', 10, 'Refused', 'FAILOVER_REFUSED'],
    ['fence', 'unproven', 60, 'Unfenced', 'Unfenced'],
    ['drain', 'draining', 300, 'Undrained', 'Undrained'],
    ['dns', 'pending', 30, 'DnsPending', 'DnsPending'],
    ['verify', 'unverified', 10, 'Unverified', 'Unverified'],
  ])(
    'takes %s again while it is %s, and gives up after %i tries',
    async (step, outcome, tries, state, error) => {
      const again = { outcome, waitSeconds: 1 };
      const patient = await run({ [step]: [again, again, HAPPY[step]![0]!] });
      expect(patient.end).toMatchObject({ kind: 'succeeded', state: 'Done' });
      expect(patient.steps).toEqual(PATH.flatMap((each) => (each === step ? times(3, each) : each)));

      await rm(folder, { recursive: true });
      const { steps, end } = await run({ [step]: [again] });
      expect(end).toMatchObject(failedAs(state, error));
      expect(steps).toEqual([...PATH.slice(0, PATH.indexOf(step)), ...times(tries, step)]);
    },
  );

  it.each([
    ['claim', { outcome: 'refused', code: 'FAILOVER_REFUSED', why: 'paused' }, 'Refused', 'FAILOVER_REFUSED'],
    [
      'claim',
      { outcome: 'refused', code: 'REGIONS_TOO_FEW', why: 'two' },
      'TooFewRegions',
      'REGIONS_TOO_FEW',
    ],
    [
      'claim',
      { outcome: 'refused', code: 'FORCE_WITHOUT_REASON', why: '' },
      'NoReason',
      'FORCE_WITHOUT_REASON',
    ],
    ['elect', { outcome: 'none', candidates: [] }, 'NoCandidate', 'NO_CANDIDATE'],
    ['repoint', { outcome: 'stale', now: null }, 'StalePlan', 'PLAN_STALE'],
  ])('whose %s is %j ends by name, with what to do next', async (step, answer, state, error) => {
    const { steps, end } = await run({ [step]: [answer] });
    expect(end).toMatchObject({
      ...failedAs(state, error),
      cause: expect.stringMatching(/docs\/RUNBOOK\.md#/),
    });
    expect(steps.at(-1)).toBe(step);
  });

  it.each(PATH)('whose %s fails tries it again', async (step) => {
    const { steps, end } = await run({ [step]: [FAILED, FAILED, HAPPY[step]![0]!] });
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps).toEqual(PATH.flatMap((each) => (each === step ? times(3, each) : each)));
  });

  it.each([
    ['claim', 'Claim'],
    ['fence', 'Fence'],
    ['elect', 'Elect'],
    ['drain', 'Drain'],
    ['promote', 'Promote'],
    ['repoint', 'Repoint'],
    ['dns', 'Await DNS'],
    ['verify', 'Verify'],
  ])(
    'whose %s keeps failing stops in its own state, %s, from which it can be redriven',
    async (step, state) => {
      const { steps, end } = await run({ [step]: [FAILED] });
      expect(end).toMatchObject({ ...failedAs(state, 'REGION_UNREACHABLE'), cause: FAILED.message });
      expect(steps).toEqual([...PATH.slice(0, PATH.indexOf(step)), ...times(6, step)]);
      expect(DEFINITION.States[state]!.Type).toBe('Task');
    },
  );

  it('stops at an outcome that it does not know', async () => {
    const { end } = await run({ promote: [{ outcome: 'perhaps' }] });
    expect(end).toMatchObject(failedAs('Promoted?', 'States.NoChoiceMatched'));
  });
});

describe('a switchover', () => {
  const switchover = { kind: 'switchover' } as const;

  it('is one step while nobody may write', async () => {
    const { steps, end } = await run(HAPPY, switchover);
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps).toEqual(['handover', 'repoint', 'dns', 'verify']);
  });

  it('goes on step by step from its claim if it does not go at once', async () => {
    const { steps, end } = await run({ ...HAPPY, handover: [{ outcome: 'claimed', claim: {} }] }, switchover);
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps).toEqual(['handover', 'fence', 'elect', 'drain', 'promote', 'repoint', 'dns', 'verify']);
  });

  it('that is refused before anything was stopped has touched nothing', async () => {
    const refused = { outcome: 'refused', code: 'PLAN_STALE', why: '', stopped: false };
    const { steps, end } = await run({ handover: [refused] }, switchover);
    expect(end).toMatchObject(failedAs('Refused', 'FAILOVER_REFUSED'));
    expect(steps).toEqual(['handover']);
  });

  it('stays done if the call that promoted the successor told nobody', async () => {
    const script = { ...HAPPY, handover: [FAILED], abandon: [{ outcome: 'handed-over', elect: {} }] };
    const { steps, end } = await run(script, switchover);
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps.slice(-4)).toEqual(['abandon', 'repoint', 'dns', 'verify']);
  });

  it.each([
    ['it is refused later', [{ outcome: 'refused', code: 'FAILOVER_REFUSED', why: '', stopped: true }]],
    ['it keeps failing', [FAILED]],
  ])('is taken back when %s', async (_, handover) => {
    const { steps, end } = await run({ handover }, switchover);
    expect(end).toMatchObject(failedAs('SwitchoverAborted', 'FAILOVER_REFUSED'));
    expect(steps.at(-1)).toBe('abandon');
    expect(steps).not.toContain('fence');
  });
});

describe('an approval', () => {
  it('is waited for before anything is touched', async () => {
    const waiting = { outcome: 'waiting' };
    const { steps, calls, end } = await run(
      { approve: [waiting, waiting, { outcome: 'approved', by: 'mia' }] },
      { approval: true },
    );
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(steps.slice(0, 4)).toEqual(['approve', 'approve', 'approve', 'claim']);
    expect(new Set(calls.slice(0, 3).map(({ token }) => token)).size).toBe(1);
    expect(calls[3]).toMatchObject({ state: { approve: { outcome: 'approved', by: 'mia' } } });
  });

  it('that is denied ends the run', async () => {
    const { steps, end } = await run({ approve: [{ outcome: 'denied', by: 'mia' }] }, { approval: true });
    expect(end).toMatchObject(failedAs('NotApproved', 'FAILOVER_REFUSED'));
    expect(steps).toEqual(['approve']);
  });

  it('comes before the leader yields', async () => {
    const { steps } = await run(HAPPY, { approval: true, kind: 'switchover' });
    expect(steps.slice(0, 2)).toEqual(['approve', 'handover']);
  });
});

describe('a run that a person starts in the console', () => {
  it('needs no more than {"epoch": 7}, and bears the name of its execution', async () => {
    const calls: Payload[] = [];
    const step = (payload: unknown) => {
      calls.push(payload as Payload);
      return JSON.parse(JSON.stringify(HAPPY[calls.at(-1)!.step]![0]));
    };
    const tasks = Object.entries(DEFINITION.States).filter(([, { Type }]) => Type === 'Task');
    const machine = new StateMachine(DEFINITION);
    const { result } = machine.run(JSON.parse('{"epoch": 7}'), {
      context: { Execution: { Name: 'by-hand' } },
      overrides: { taskResourceLocalHandlers: Object.fromEntries(tasks.map(([name]) => [name, step])) },
    });
    expect(await result).toMatchObject({ verify: { outcome: 'verified' } });
    const path = ['claim', 'fence', 'elect', 'drain', 'promote', 'repoint', 'dns', 'verify'];
    expect(calls.map((call) => call.step)).toEqual(path);
    // What the function takes: see functions/failover/handler.ts.
    expect(calls[0]!.state).toEqual({
      input: {
        group: 'orders',
        epoch: 7,
        kind: 'failover',
        trigger: 'operator',
        approval: false,
        run: 'by-hand',
      },
    });
  });
});
