import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { counted, STEPS } from '#functions/failover-steps.ts';
import { type Advice, adviceOf } from '#lib/domain/control/advice.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { endOfRun } from '#lib/domain/control/run-end.ts';
import { type ErrorCode, UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch } from '#lib/domain/lsn.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import { LocalWorkflow, type RunEnd } from '#lib/local/workflow/local-workflow.ts';
import type { LeaderRecord } from '#lib/ports/leader-record.ts';
import type { FailoverDeps, FailoverState } from '#lib/usecases/control/failover-deps.ts';
import { takeStep } from '#lib/usecases/control/take-step.ts';
import { FailoverGroup, targetOf } from '../../support/failover-group.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

type Step = keyof typeof STEPS;
const DEFINITION = failoverDefinition(GROUP, US);
const E3 = advanceEpoch(E2);

let group: FailoverGroup;
let folder: string;
/** What happens right before a run takes a step for the first time. */
let before: Partial<Record<Step, () => Promise<void> | void>>;
/** The record as the steps reach it, where that is not as it is. */
let record: LeaderRecord | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-bad-input-'));
  before = {};
  record = undefined;
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  await follow(US, AP);
});
afterEach(() => rm(folder, { recursive: true }));

/** The followers have a whole copy and a position. */
async function follow(...regions: readonly RegionId[]): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    // The copy is whole once a heartbeat has come that is later than it.
    group.scheduler.advance(1_000);
    await group.writePath.canary(EU);
    await group.follow(...regions);
  }
}

async function lose(...regions: readonly RegionId[]): Promise<void> {
  for (const region of regions) group.lost.add(region);
  await group.vote(E1, ...group.members.filter((region) => !regions.includes(region)));
}

function depsOf(coordinator: RegionId): FailoverDeps {
  const deps = group.failoverDeps(coordinator);
  return record === undefined ? deps : { ...deps, record };
}

async function take(step: Step, coordinator: RegionId, state: FailoverState) {
  // DNS's servers have by now what they were told before.
  if (step === 'dns') group.record.settle();
  return group.run(takeStep<{ outcome: string }>(depsOf(coordinator), state, step, STEPS[step]));
}

type Ran = {
  readonly end: RunEnd;
  readonly told: ReturnType<typeof endOfRun>;
  readonly code: ErrorCode | undefined;
  readonly state: FailoverState;
};

/** Runs the workflow that is deployed, over the group, to its end. `code`: what the command line says of that. */
async function run(given: Partial<FailoverInput> = {}, coordinator: RegionId = US): Promise<Ran> {
  const input: FailoverInput = {
    ...{ group: GROUP, epoch: E1, kind: 'failover', run: 'run', trigger: 'operator', approval: false },
    ...given,
  };
  let last: FailoverState = { input };
  const workflow = new LocalWorkflow({
    definition: DEFINITION,
    folder: join(folder, coordinator),
    pauseMs: 0,
    invoke: async (payload) => {
      const step = payload.step as Step;
      last = payload.state as FailoverState;
      const { [step]: first, ...rest } = before;
      before = rest;
      await first?.();
      try {
        return counted(step, last, await take(step, coordinator, last));
      } catch (error) {
        if (!(error instanceof UnderstudyError)) throw error;
        // As the function fails: by the name of the code.
        throw Object.assign(new Error(error.message), { name: error.code });
      }
    },
  });
  await workflow.start(input);
  const end = (await workflow.ended(input.run))!;
  const decisions = (await group.history.of(advanceEpoch(input.epoch))).filter(
    (each) => each.run === input.run,
  );
  const told = endOfRun(input.kind, decisions);
  return { end, told, code: told?.kind === 'failed' ? told.code : undefined, state: last };
}

/** Without the ballots: a read of the register is a change of it to what it is. */
async function acceptorAt(region: RegionId) {
  const { accepted, promised: _, ...rest } = await group.acceptor(region).read();
  return { ...rest, register: accepted?.value };
}

/** All that a run could have changed. */
async function everything() {
  return {
    acceptors: await Promise.all(group.members.map(acceptorAt)),
    logs: await Promise.all(group.config.regions.map(({ name }) => group.own(name).head(LANE_0))),
    roles: await roles(),
    dns: group.record.served,
  };
}

const roles = () => Promise.all(group.config.regions.map(({ name }) => group.control(name).role()));

/** What `status` says to do next. */
async function advice(): Promise<readonly Advice[]> {
  const [survey, plan] = await group.run(Promise.all([group.survey(), group.plan()]));
  return adviceOf(survey, { profile: group.profile, plan });
}

async function expectRunbook(...codes: readonly ErrorCode[]): Promise<void> {
  const runbook = await readFile(new URL('../../../docs/RUNBOOK.md', import.meta.url), 'utf8');
  for (const code of codes) expect(runbook).toContain(`\n## ${code}\n`);
}

describe('a failover', () => {
  test('with no eligible candidate promotes nobody; status says why, and a later one ends it', async () => {
    await lose(EU);
    for (const region of [US, AP]) group.noFailover.add(region);
    const { end, code } = await run();
    expect(end).toMatchObject({ kind: 'failed', state: 'NoCandidate', error: 'NO_CANDIDATE' });
    expect(code).toBe('NO_CANDIDATE');
    await expectRunbook('NO_CANDIDATE');

    expect(await roles()).toMatchObject([{ leader: EU }, { leader: EU }, { leader: EU }]);
    expect(group.record.served).toEqual({ epoch: E1, target: targetOf(EU) });
    const [first] = await advice();
    expect(first).toMatchObject({
      kind: 'no-candidate',
      text: expect.stringMatching(/us-east-1: .*noFailover/),
    });
    expect(first!.text).toContain('understudy failover --force --to REGION --reason WHY');

    // The run stands in a named state, from which the next epoch takes over as soon as somebody is eligible.
    group.noFailover.delete(AP);
    await group.vote(E2, US, AP);
    expect((await run({ epoch: E2, run: 'next' }, AP)).end).toMatchObject({
      kind: 'succeeded',
      state: 'Done',
    });
    expect(group.record.served).toEqual({ epoch: E3, target: targetOf(AP) });
  });

  test('that is forced without a reason touches nothing; status says what it said before', async () => {
    await lose(EU);
    const [untouched, said] = [await everything(), await advice()];
    const { end, code } = await run({ force: true, successor: US });
    expect(end).toMatchObject({ kind: 'failed', state: 'NoReason', error: 'FORCE_WITHOUT_REASON' });
    expect(code).toBe('FORCE_WITHOUT_REASON');
    await expectRunbook('FORCE_WITHOUT_REASON');
    expect(await everything()).toEqual(untouched);
    expect(await advice()).toEqual(said);
    expect(said[0]).toMatchObject({ kind: 'voted-out' });
  });

  test('of two replicas without a witness touches nothing; status says to add one', async () => {
    group = await new FailoverGroup([EU, US]).found(EU);
    await follow(US);
    await lose(EU);
    const untouched = await everything();
    const { end, code } = await run();
    expect(end).toMatchObject({ kind: 'failed', state: 'TooFewRegions', error: 'REGIONS_TOO_FEW' });
    expect(code).toBe('REGIONS_TOO_FEW');
    await expectRunbook('REGIONS_TOO_FEW');
    expect(await everything()).toEqual(untouched);
    expect(await advice()).toContainEqual({
      kind: 'too-few',
      text: expect.stringContaining('Add a Region to witnesses'),
    });
  });
});

describe('a plan that went stale', () => {
  test('because the epoch that it was to end is over touches nothing; status says how the group stands now', async () => {
    await lose(EU);
    await run();
    group.lost.delete(EU);
    const untouched = await everything();
    const { end, code } = await run({ run: 'late' }, AP);
    expect(end).toMatchObject({ kind: 'succeeded', state: 'Superseded' });
    expect(code).toBe('PLAN_STALE');
    await expectRunbook('PLAN_STALE');
    expect(await everything()).toEqual(untouched);
    expect((await advice()).map(({ kind }) => kind)).toEqual(['no-lease', 'cooldown']);
  });

  test('because somebody has moved the record meanwhile leaves it alone; status says to mend DNS', async () => {
    await lose(EU);
    const { record: real } = group;
    const other = { epoch: E3, target: targetOf(AP) };
    record = {
      read: () => real.read(),
      flip: async (from, to) => {
        await real.flip(from, other);
        return real.flip(from, to);
      },
      status: (change) => real.status(change),
    };
    const { end, code } = await run();
    expect(end).toMatchObject({ kind: 'failed', state: 'StalePlan', error: 'PLAN_STALE' });
    expect(code).toBe('PLAN_STALE');
    group.record.settle();
    expect(group.record.served).toEqual(other);
    expect((await roles())[1]).toMatchObject({ epoch: E2, leader: US });
    expect(await advice()).toContainEqual({
      kind: 'dns',
      text: expect.stringContaining('still names epoch 3, not epoch 2'),
    });
  });
});

describe('a second coordinator', () => {
  test('of the same epoch changes nothing, and the first goes on; status says who is at work', async () => {
    await lose(EU);
    let second: Ran | undefined;
    let said: readonly Advice[] = [];
    const seen: unknown[] = [];
    before.elect = async () => {
      seen.push(await everything());
      second = await run({ run: 'second' }, AP);
      seen.push(await everything());
      said = await advice();
    };
    const first = await run();
    expect(seen[1]).toEqual(seen[0]);
    expect(second!.end).toMatchObject({ kind: 'succeeded', state: 'Superseded' });
    expect(second!.code).toBe('PLAN_STALE');
    expect(said[0]).toMatchObject({
      kind: 'in-progress',
      text: expect.stringContaining('coordinated by us-east-1'),
    });
    expect(first.end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(group.record.served).toEqual({ epoch: E2, target: targetOf(US) });
  });

  test.each<Step>(['fence', 'drain', 'promote', 'repoint'])(
    'that takes over at %s ends the first, which leaves its leader in place',
    async (step) => {
      await lose(EU);
      let second: Ran | undefined;
      before[step] = async () => {
        await group.vote(E2, US, AP);
        second = await run({ epoch: E2, run: 'second' }, AP);
      };
      const first = await run();
      expect(second!.end).toMatchObject({ kind: 'succeeded', state: 'Done' });
      expect([first.end.state, first.code]).toEqual(['Superseded', 'PLAN_STALE']);
      const { winner } = second!.state.elect as { readonly winner: RegionId };
      expect(group.record.served).toEqual({ epoch: E3, target: targetOf(winner) });
      for (const register of await group.registers()) {
        expect(register).toMatchObject({ epoch: E3, leader: winner, phase: 'leading' });
      }
    },
  );
});

describe('Route 53', () => {
  /** The new leader is in place, and clients are led there once the run is redriven at the state where it stopped. */
  async function expectRedrive({ state }: Ran): Promise<void> {
    expect(state.promote).toMatchObject({ outcome: 'promoted', leader: US });
    expect(group.record.served).toEqual({ epoch: E1, target: targetOf(EU) });
    expect(await advice()).toContainEqual({
      kind: 'dns',
      text: expect.stringContaining('redrive'),
    });
  }
  const redriven = async ({ state }: Ran) => {
    record = undefined;
    expect(await take('repoint', US, state)).toMatchObject({ outcome: 'submitted' });
    group.record.settle();
    expect(group.record.served).toEqual({ epoch: E2, target: targetOf(US) });
    expect((await advice()).filter(({ kind }) => kind === 'dns')).toEqual([]);
  };

  test('whose record a person has changed is left alone; status says how to go on', async () => {
    await lose(EU);
    group.record.changeByHand('somewhere.example.com');
    const ran = await run();
    expect(ran.end).toMatchObject({ kind: 'failed', state: 'Repoint', error: 'DNS_RECORD_FOREIGN' });
    expect(ran.told).toMatchObject({ code: 'DNS_RECORD_FOREIGN', stoppedAt: 'repoint' });
    await expectRunbook('DNS_RECORD_FOREIGN');
    expect(ran.state.promote).toMatchObject({ outcome: 'promoted', leader: US });
    expect(group.record.served).toEqual({ epoch: E1, target: 'somewhere.example.com' });
    const dns = (await advice()).find(({ kind }) => kind === 'dns');
    expect(dns!.text).toMatch(/DNS_RECORD_FOREIGN: .*redriven at Repoint/s);

    group.record.mend();
    await redriven(ran);
  });

  test('that throttles for long stops the run where it is; status says how to go on', async () => {
    await lose(EU);
    const { record: real } = group;
    const throttled = () =>
      Promise.reject(new UnderstudyError('DNS_THROTTLED', 'Route 53 throttles', 'Try again in a moment.'));
    record = { read: () => real.read(), flip: throttled, status: (change) => real.status(change) };
    const ran = await run();
    expect(ran.end).toMatchObject({ kind: 'failed', state: 'Repoint', error: 'DNS_THROTTLED' });
    expect(ran.told).toEqual({
      kind: 'failed',
      code: 'DNS_THROTTLED',
      stoppedAt: 'repoint',
      why: 'it stopped at repoint: Route 53 throttles. Try again in a moment.',
    });
    const failed = (await advice()).find(({ kind }) => kind === 'dns')!.text;
    expect(failed).toContain('run failed last at repoint, DNS_THROTTLED: Route 53 throttles.');
    expect(failed).toContain('docs/RUNBOOK.md#dns_throttled');
    await expectRunbook('DNS_THROTTLED');
    await expectRedrive(ran);
    await redriven(ran);
  });

  test('that throttles for a moment is asked again, and the run ends well', async () => {
    await lose(EU);
    const { record: real } = group;
    let left = 3;
    record = {
      read: () => real.read(),
      flip: async (from, to) => {
        left -= 1;
        if (left >= 0) throw new UnderstudyError('DNS_THROTTLED', 'Route 53 throttles', 'Try again.');
        return real.flip(from, to);
      },
      status: (change) => real.status(change),
    };
    expect((await run()).end).toMatchObject({ kind: 'succeeded', state: 'Done' });
    expect(group.record.served).toEqual({ epoch: E2, target: targetOf(US) });
  });
});
