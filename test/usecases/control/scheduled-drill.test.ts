import { CreateBucketCommand, GetObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { S3DrillEvidence } from '#lib/aws/s3-drill-evidence.ts';
import { drillInput } from '#lib/domain/control/drill.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { amend, claim, type Register } from '#lib/domain/control/register.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { DynamoRewinder } from '#lib/engines/dynamodb/dynamo-rewinder.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import { reattach } from '#lib/usecases/control/reattach.ts';
import { type DrillDeps, type DrillEnd, scheduledDrill } from '#lib/usecases/control/scheduled-drill.ts';
import { takeStep } from '#lib/usecases/control/take-step.ts';
import { STEPS, WorkflowTwin } from '../../sim/workflow-twin.ts';
import { FailoverGroup } from '../../support/failover-group.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { type RegionServers, startRegionServers } from '../../support/region-servers.ts';
import { PK } from '../../support/stream-records.ts';

/** Where the evidence goes: the very bucket of a Region. */
let servers: RegionServers;
let bucket: string;
beforeAll(async () => {
  servers = await startRegionServers(parseRegionId('eu-west-1'));
  const config = new FailoverGroup([EU, US, AP]).config;
  ({ bucket } = await servers.provision(config));
});
afterAll(() => servers[Symbol.asyncDispose]());

let group: FailoverGroup;
let started: FailoverInput[];
let due: string;
let count = 0;
beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  started = [];
  count += 1;
  due = `2030-01-01T00:00:${String(count).padStart(2, '0')}Z`;
  for (const ms of [0, 1_000]) {
    group.scheduler.advance(ms);
    group.beat(EU);
    await group.capture(EU);
    await group.follow(US, AP);
  }
});

/** A drill in a Region whose workflow cannot be started. */
const drill = (region: RegionId, given: Partial<DrillDeps> = {}): Promise<DrillEnd> => {
  const deps: DrillDeps = {
    config: {
      group: GROUP,
      engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
      logTable: 'log',
      controlTable: 'control',
      buckets: {},
      failover: { profile: 'fast', targets: {} },
    },
    profile: group.profile,
    region,
    survey: () => group.survey(),
    workflowIn: () => ({
      start: async (input) => {
        started.push(input);
        throw new Error('AccessDenied');
      },
      stopOf: async () => undefined,
    }),
    historyOf: () => group.history,
    evidence: new S3DrillEvidence({ s3: servers.clients.s3, bucket, group: GROUP }),
    approvedBy: 'the test',
    clock: group.clock,
    sleep: group.sleep,
    mayGoOn: () => false,
    ...given,
  };
  return group.run(scheduledDrill(deps, due));
};

const change = (to: (register: Register) => ReturnType<typeof amend>) =>
  group.run(changeRegister(group.registerDeps(US), to));

/** What lies in the bucket. */
async function kept(): Promise<unknown> {
  return JSON.parse((await object('report.json')).text);
}

async function object(name: string) {
  const Key = `_drills/${GROUP}/${due}/${name}`;
  const { Body, ContentType } = await servers.clients.s3.send(new GetObjectCommand({ Bucket: bucket, Key }));
  return { text: await Body!.transformToString(), type: ContentType };
}

test('whoever does not lead leaves the drill to the one that does', async () => {
  expect(await drill(US)).toEqual({ outcome: 'elsewhere', region: EU });
  expect(started).toEqual([]);
});

test('a run that cannot be started is a failure, with evidence that says so', async () => {
  const report = {
    outcome: 'failed',
    home: EU,
    approvedBy: 'the test',
    code: 'REGION_UNREACHABLE',
    why: expect.stringContaining('AccessDenied'),
    there: { from: EU, to: null, rtoMs: null, rpo: { records: null, ms: null }, timeline: [] },
  };
  expect(await drill(EU)).toMatchObject({ outcome: 'kept', report });
  expect(await kept()).toMatchObject(report);
  expect(started).toMatchObject([{ epoch: E1, kind: 'switchover', trigger: 'drill', approval: false }]);
});

test('a run that dies before it says anything is a failure by what the workflow says of it', async () => {
  const workflowIn = () => ({
    start: async () => 'started' as const,
    stopOf: async () => ({ how: 'failed', why: 'Lambda.Unknown: killed' }) as const,
  });
  const report = {
    outcome: 'failed',
    code: 'RUN_STOPPED',
    why: expect.stringMatching(
      /^the execution orders-2-\d{8}T\d{6}Z-drill failed .*: Lambda.Unknown: killed/,
    ),
    there: { to: null, end: { kind: 'failed', code: 'RUN_STOPPED' }, timeline: [] },
  };
  expect(await drill(EU, { workflowIn })).toMatchObject({ report });
  expect(await kept()).toMatchObject(report);
});

test('whoever finds the report of a drill finds its page, too', async () => {
  const { s3 } = servers.clients;
  const send = async (command: Parameters<typeof s3.send>[0]) => {
    if ((command.input as { Key?: string }).Key?.endsWith('.html')) throw new Error('S3 is away');
    return s3.send(command);
  };
  const cut = new Proxy(s3, { get: (_, name) => (name === 'send' ? send : Reflect.get(s3, name)) });
  await expect(
    drill(EU, { evidence: new S3DrillEvidence({ s3: cut, bucket, group: GROUP }) }),
  ).rejects.toThrow('S3 is away');
  await expect(kept()).rejects.toMatchObject({ name: 'NoSuchKey' });
});

test('a drill that is asked for twice is had once', async () => {
  await drill(EU);
  expect(await drill(EU)).toEqual({ outcome: 'begun-before' });
  expect(started).toHaveLength(1);
});

test('a group that is paused, or in its cooldown, is left alone', async () => {
  const paused = { by: 'ana', reason: 'a release' };
  await change((register) => amend(register, { paused }));
  expect(await drill(EU)).toMatchObject({
    report: { outcome: 'refused', why: expect.stringMatching(/ana .*a release/) },
  });
  expect(await kept()).toMatchObject({ outcome: 'refused', code: 'FAILOVER_REFUSED' });
  due = due.replace('2030', '2031');
  await change((register) => amend(register, { paused: null, cooldownUntilMs: group.now() + 60_000 }));
  expect(await drill(EU)).toMatchObject({
    report: { outcome: 'refused', why: expect.stringContaining('so recent') },
  });
  expect(started).toEqual([]);
  expect(await group.history.of(E2)).toMatchObject([
    { step: 'drill', outcome: { outcome: 'refused' } },
    { step: 'drill', outcome: { outcome: 'refused' } },
  ]);
});

test('during a failover, its coordinator writes down that there was no drill', async () => {
  await group.vote(E1, US, AP);
  await change((register) =>
    claim(register, { epoch: E1, coordinator: US, run: 'run', phase: 'failing-over' }),
  );
  expect(await drill(EU)).toEqual({ outcome: 'elsewhere', region: US });
  expect(await drill(US)).toMatchObject({ report: { outcome: 'refused', code: 'PLAN_STALE' } });
  expect(started).toEqual([]);
});

describe('a group whose workflow runs', () => {
  let watched: Partial<DrillDeps>;
  /** Called as the way back begins. */
  let beforeBack: () => void;

  beforeEach(() => {
    group.priorities.set(US, 1);
    const sinceMs = group.now();
    beforeBack = () => {};
    watched = {
      workflowIn: (region) => {
        if (region === US) beforeBack();
        const twin = new WorkflowTwin({
          invoke: (step, state) => {
            const deps = group.failoverDeps(region);
            return takeStep<{ readonly outcome: string }>(deps, state, step, STEPS[step]);
          },
          sleep: group.sleep,
          random: () => 0.5,
          onStep: () => group.record.settle(),
        });
        return {
          start: (input) => {
            started.push(input);
            return twin.start(input);
          },
          stopOf: async () => undefined,
        };
      },
      // While the drill waits, the sentinels do their part.
      sleep: async (ms) => {
        await followUs(sinceMs);
        await group.sleep(ms);
      },
      mayGoOn: () => group.now() < sinceMs + 20_000,
    };
  });

  /** What the sentinels of the others do once US leads: the former leader comes back. */
  async function followUs(sinceMs: number): Promise<void> {
    const [register] = await group.registers();
    if (register?.phase !== 'leading' || register.leader !== US) return;
    for (const region of group.members) await group.control(region).nameLeader(register);
    await reattach(
      {
        region: EU,
        log: (at) => group.own(at),
        control: group.control(EU),
        divergences: group.divergences.get(EU)!,
        rewinder: new DynamoRewinder({ key: PK, replica: group.replica(EU, US) }),
        writePath: group.writePath,
        clock: group.clock,
        telemetry: group.telemetry,
      },
      sinceMs,
    );
  }

  const leaders = async () => (await group.registers()).map((register) => register?.leader);
  const there = { from: EU, to: US, epoch: 2, end: { kind: 'done' }, rpo: { records: 0, ms: 0 } };

  test('is led by whom it was led before, once the drill has passed', async () => {
    const back = { from: US, to: EU, epoch: 3, end: { kind: 'done' }, rpo: { records: 0, ms: 0 } };
    const report = { outcome: 'passed', home: EU, there, back };
    expect(await drill(EU, watched)).toMatchObject({ outcome: 'kept', report });
    expect(await kept()).toMatchObject(report);
    expect(await leaders()).toEqual([EU, EU, EU]);
    const page = await object('report.html');
    expect(page.type).toBe('text/html; charset=utf-8');
    expect(page.text).toMatch(
      /There: eu-west-1 to us-east-1, epoch 2.*Back: us-east-1 to eu-west-1, epoch 3/s,
    );
  });

  /** The scheduler is late in the Region that is to lead meanwhile, which keeps its evidence in a bucket of its own. */
  const lateIn = async (region: RegionId) => {
    const own = `late-${count}`;
    await servers.clients.s3.send(new CreateBucketCommand({ Bucket: own }));
    const evidence = new S3DrillEvidence({ s3: servers.clients.s3, bucket: own, group: GROUP });
    return () => drill(region, { evidence });
  };

  test('has one drill, although the other hears of it only once it leads by it', async () => {
    const late = await lateIn(US);
    expect(await drill(EU, { ...watched, mayGoOn: () => false })).toMatchObject({ report: { there } });
    expect(await leaders()).toEqual([US, US, US]);
    expect(await late()).toEqual({ outcome: 'begun-before' });
    expect(started).toHaveLength(1);
    // One that is due at another time is another one.
    due = due.replace('2030', '2031');
    expect(await late()).toMatchObject({ report: { home: US } });
    expect(started).toHaveLength(2);
  });

  test('has one drill, although the other hears of it only while it hands the lead back', async () => {
    const late = await lateIn(US);
    await drill(EU, { ...watched, mayGoOn: () => false });
    const { epoch, run } = drillInput({ group: GROUP, due, approvedBy: 'the test' }, E2, EU);
    await group.vote(E2, EU, AP);
    await change((register) => claim(register, { epoch, run, coordinator: US, phase: 'switching-over' }));
    expect(await late()).toEqual({ outcome: 'begun-before' });
  });

  test('says who was first if another run takes the lead before the way back', async () => {
    const sleep = async (ms: number) => {
      await group.sleep(ms);
      const [register] = await group.registers();
      if (register?.phase !== 'leading' || register.leader !== US) return;
      await group.vote(E2, EU, AP);
      const by = { epoch: E2, coordinator: AP, run: 'other', phase: 'failing-over' } as const;
      await changeRegister(group.registerDeps(AP), (before) => claim(before, by));
    };
    const why = 'another run was first: epoch 3, coordinated by ap-southeast-2';
    expect(await drill(EU, { ...watched, sleep })).toMatchObject({
      report: { outcome: 'failed', code: 'PLAN_STALE', why, there },
    });
    expect(started).toHaveLength(1);
  });

  test('is led by the other on if the way back fails, with both ways in the evidence', async () => {
    beforeBack = () => group.lost.add(EU);
    const why = expect.stringContaining('no successor');
    const report = {
      outcome: 'failed',
      code: 'FAILOVER_REFUSED',
      why,
      there,
      back: {
        from: US,
        to: null,
        epoch: 3,
        rtoMs: null,
        rpo: { records: null, ms: null },
        end: { kind: 'failed', code: 'FAILOVER_REFUSED', why },
      },
    };
    expect(await drill(EU, watched)).toMatchObject({ outcome: 'kept', report });
    expect(await kept()).toMatchObject(report);
    group.lost.delete(EU);
    expect(await leaders()).toEqual([US, US, US]);
  });

  test('is led by the other on if the former leader does not come back in time: there is no way back', async () => {
    const report = { outcome: 'failed', why: expect.stringMatching(/^us-east-1 still leads: /), there };
    expect(await drill(EU, { ...watched, mayGoOn: () => false })).toMatchObject({ report });
    expect(await kept()).toMatchObject(report);
    expect(await kept()).not.toHaveProperty('back');
    expect(started).toHaveLength(1);
    expect(await leaders()).toEqual([US, US, US]);
  });
});

test('without a majority there is none, and if nobody answers, nobody takes that for well', async () => {
  group.lost.add(US).add(AP);
  expect(await drill(EU)).toMatchObject({ report: { outcome: 'refused', code: 'REGISTER_UNAVAILABLE' } });
  group.lost.add(EU);
  await expect(drill(EU)).rejects.toThrow(/^REGISTER_UNAVAILABLE: /);
  expect(started).toEqual([]);
});
