import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DeleteTableCommand, GetItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeReport } from '#lib/domain/control/divergence.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { judgeFence } from '#lib/domain/control/fence.ts';
import { LANE_0, parseGroupId, type RegionId } from '#lib/domain/ids.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import { LocalWorkflow } from '#lib/local/workflow/local-workflow.ts';
import { tellStop } from '#lib/local/workflow/requests.ts';
import { until } from '../local/until.ts';
import { E1, E2 } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';
import { type ControlGroup, ControlWorld, type Ran } from './control-world.ts';

let world: ControlWorld;
let group: ControlGroup;

beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});
beforeEach(async () => {
  group = await world.group();
});

const found = () => group.found();

async function voteOut(): Promise<void> {
  for (const region of [US, AP]) await group.peers.acceptor(region).vote(E1, 'over');
}

/** The run that was asked for in `region`, once it is. */
async function requested(region: RegionId): Promise<FailoverInput> {
  let input: FailoverInput | undefined;
  await until('a run is asked for', async () => {
    const { Items = [] } = await group.peers
      .clients(region)
      .dynamodb.send(new ScanCommand({ TableName: group.config.controlTable, ConsistentRead: true }));
    const item = Items.find(({ id }) => id?.S?.startsWith(`${group.config.group}#request#`));
    input = item && (JSON.parse(item.input!.S!) as FailoverInput);
    return input !== undefined;
  });
  return input!;
}

/** Makes the steps of a run, as the Region's workflow would write them down. */
async function makeSteps(
  region: RegionId,
  { run }: FailoverInput,
  steps: readonly (readonly [step: string, outcome: object, input?: object])[],
): Promise<void> {
  for (const [step, outcome, input = {}] of steps) {
    await group.peers.history(region).record({ atMs: Date.now(), epoch: E2, run, step, input, outcome });
  }
}

const events = ({ json }: Ran) => json.map(({ event, outcome, step }) => [event, step ?? outcome]);

describe('a group that nobody leads yet', () => {
  test('is shown as such, with what to do next', async () => {
    const { status, stdout } = await group.run(['status']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/Next: .*understudy found --leader REGION/);
    const plan = await group.run(['plan']);
    expect([plan.status, plan.stderr]).toEqual([1, expect.stringContaining('GROUP_NOT_FOUNDED')]);
    expect(plan.stderr).toContain('docs/RUNBOOK.md#group_not_founded');
    expect((await group.run(['pause', '--reason', 'x'])).stderr).toContain('GROUP_NOT_FOUNDED');
  });

  test('gets its first leader once: in the register, in every Region, and in DNS', async () => {
    expect((await group.run(['found', '--leader', 'mars-north-1'])).status).toBe(2);
    expect((await group.run(['found', '--leader', EU])).stdout).toBe('eu-west-1 leads epoch 1.\n');
    for (const region of [EU, US, AP]) {
      expect(await group.peers.control(region).role()).toMatchObject({ epoch: 1, leader: EU });
    }
    const { json } = await group.run(['status', '--json']);
    expect(json[0]).toMatchObject({
      register: { epoch: 1, leader: EU, phase: 'leading' },
      agreed: true,
      dns: { leader: { epoch: 1 } },
    });
    expect((await group.run(['found', '--leader', EU])).status).toBe(0);
    const other = await group.run(['found', '--leader', US]);
    expect([other.status, other.stderr]).toEqual([2, expect.stringContaining('eu-west-1, epoch 1')]);
  });

  test('tells the others while a Region is lost, and says which; the leader has to be told', async () => {
    await found();
    const { status, stdout } = await group.run(['found', '--leader', EU], [AP]);
    expect(stdout).toContain('eu-west-1 leads epoch 1. ap-southeast-2 could not be told:');
    expect(status).toBe(0);
    const { json } = await group.run(['found', '--leader', EU, '--json'], [AP]);
    expect(json[0]).toMatchObject({ joined: [], untold: [AP] });
    expect((await group.run(['found', '--leader', EU], [EU])).stderr).toContain('REGION_UNREACHABLE');
  });
});

describe('status', () => {
  test('shows every Region, and as lost one that does not answer', async () => {
    await found();
    const { status, stdout } = await group.run(['status'], [AP]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/eu-west-1 +leader +yes +1/);
    expect(stdout).toMatch(/us-east-1 +follower +eu-west-1 +yes +1 .*0 records/);
    expect(stdout).toMatch(/ap-southeast-2 +unknown/);
    expect(stdout).toMatch(/Next: ap-southeast-2 does not answer/);
    expect(stdout).toMatch(/Alarms of us-east-1: unknown: ALARMS_UNREADABLE/);
  });

  test('says so where no majority answers', async () => {
    await found();
    const { json, status } = await group.run(['status', '--json'], [US, AP]);
    expect(status).toBe(1);
    expect(json[0]).toMatchObject({ agreed: false, advice: [{ kind: 'unavailable' }, {}, {}, {}] });
  });
});

describe('doctor', () => {
  const named = ({ json }: Ran) => json.map(({ check, region, verdict }) => `${region} ${check}: ${verdict}`);

  test('checks tables, bucket, roles and DNS of every Region, and changes nothing', async () => {
    await found();
    const before = await group.items(US);
    const ran = await group.run(['doctor', '--json']);
    expect(ran.status).toBe(0);
    // The tables of this world may be deleted, and its S3 knows no bucket policies.
    const checks = ['log table: warning', 'log bucket: unknown', 'clock: ok', 'role: ok', 'answers: ok'];
    for (const check of checks) {
      expect(named(ran)).toContain(`us-east-1 ${check}`);
    }
    expect(named(ran)).toContain('group DNS record: ok');
    expect(named(ran).filter((each) => each.endsWith('failed'))).toEqual([]);
    expect(await group.items(US)).toEqual(before);
  });

  test('fails where a table is gone or a Region does not answer, and says what to do', async () => {
    await found();
    const { dynamodb } = group.peers.clients(US);
    await dynamodb.send(new DeleteTableCommand({ TableName: group.config.logTable }));
    const { status, stdout } = await group.run(['doctor'], [AP]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/failed +us-east-1 +log table +It does not exist\. +Deploy the group again\./);
    expect(stdout).toMatch(/failed +ap-southeast-2 +answers/);
    expect(stdout).toMatch(/unknown +ap-southeast-2 +control table/);
    expect(stdout).toMatch(/\d+ of \d+ checks are well\./);
  });
});

describe('plan', () => {
  test('says what a failover would do and changes nothing', async () => {
    await found();
    await voteOut();
    const items = () => Promise.all([EU, US, AP].map((region) => group.items(region)));
    const before = await items();
    const { json, status } = await group.run(['plan', '--json']);
    expect(status).toBe(0);
    expect(json[0]).toMatchObject({ kind: 'failover', from: EU, winner: AP, startIn: AP, refusals: [] });
    const human = await group.run(['plan', '--switchover', '--to', US]);
    expect(human.status).toBe(0);
    expect(human.stdout).toMatch(/yield +DynamoDB +UpdateItem +eu-west-1/);
    await group.run(['plan'], [EU]);
    expect(await items()).toEqual(before);
  });

  test('says what would refuse it, by its exit status too', async () => {
    await found();
    const alive = await group.run(['plan']);
    expect(alive.status).toBe(0);
    expect(alive.stdout).toContain('Would refuse it now: FAILOVER_REFUSED');
    expect((await group.run(['plan', '--switchover', '--to', EU])).status).toBe(2);
    await voteOut();
    expect((await group.run(['plan', '--to', EU])).stdout).toContain('us-east-1');
    expect((await group.run(['plan'], [US, AP])).status).toBe(1);
    const { lease } = await group.peers.control(US).takeLease(LANE_0);
    await group.peers.control(US).saveApplyState(lease, {});
    const none = await group.run(['plan', '--to', US]);
    expect([none.status, none.stderr]).toEqual([5, expect.stringContaining('no position yet')]);
  });
});

describe('failover', () => {
  test('without a reason is not forced, and nothing is started', async () => {
    await found();
    await voteOut();
    const before = await group.items(US);
    const { status, stderr } = await group.run(['failover', '--force', '--to', US]);
    expect([status, stderr]).toEqual([2, expect.stringContaining('FORCE_WITHOUT_REASON')]);
    expect(await group.items(US)).toEqual(before);
  });

  test('is refused while the leader is alive, and nothing is started', async () => {
    await found();
    const before = await group.items(US);
    const { status, stderr } = await group.run(['failover']);
    expect([status, stderr]).toEqual([4, expect.stringContaining('understudy switchover --to REGION')]);
    expect(await group.items(US)).toEqual(before);
  });

  test('is asked for where the winner is, and followed to its end', async () => {
    await found();
    await voteOut();
    const running = group.run(['failover', '--to', US, '--reason', 'eu is lost', '--json'], [EU]);
    const input = await requested(US);
    expect(input).toMatchObject({
      group: group.config.group,
      epoch: 1,
      kind: 'failover',
      trigger: 'operator',
      successor: US,
      reason: 'eu is lost',
      approval: false,
    });
    expect(input.run).toMatch(new RegExp(`^${group.config.group}-2-cli-[0-9a-f]{8}$`));
    await makeSteps(US, input, [
      ['claim', { outcome: 'withheld', why: 'too few' }],
      ['claim', { outcome: 'claimed', epoch: 2, from: EU, coordinator: US }],
      ['verify', { outcome: 'unverified', why: 'not yet' }],
      ['verify', { outcome: 'verified', leader: US, target: 'x' }],
    ]);
    const ran = await running;
    expect(ran.status).toBe(0);
    expect(events(ran)).toEqual([
      ['started', undefined],
      ['step', 'claim'],
      ['step', 'claim'],
      ['step', 'verify'],
      ['step', 'verify'],
      ['end', 'done'],
    ]);
  });

  test('that comes to nothing ends with the status of its reason', async () => {
    await found();
    await voteOut();
    const running = group.run(['failover', '--to', US], [EU]);
    await makeSteps(US, await requested(US), [
      ['claim', { outcome: 'claimed', epoch: 2, from: EU, coordinator: US }],
      ['elect', { outcome: 'none', candidates: [] }],
    ]);
    expect(await running).toMatchObject({ status: 5, stderr: expect.stringContaining('NO_CANDIDATE') });
  });

  test('that stops at a step ends by what failed there, and says how it goes on', async () => {
    await found();
    await voteOut();
    const running = group.run(['failover', '--to', US], [EU]);
    const throttled = { outcome: 'failed', code: 'DNS_THROTTLED', why: 'Route 53 throttles. Try again.' };
    const tries = Array.from({ length: 6 }, () => ['repoint', throttled] as const);
    await makeSteps(US, await requested(US), [
      ['promote', { outcome: 'promoted', epoch: 2, leader: US }],
      ...tries,
    ]);
    const { status, stderr } = await running;
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/DNS_THROTTLED: .*stopped at repoint.*redrive the run at repoint/s);
  });
});

test('a failover whose steps die before they write anything ends by what the workflow says', async () => {
  await found();
  await voteOut();
  const running = group.run(['failover', '--to', US], [EU]);
  const input = await requested(US);
  const { dynamodb } = group.peers.clients(US);
  const to = { dynamodb, group: parseGroupId(group.config.group), table: group.config.controlTable };
  const told: Promise<void>[] = [];
  const workflow = new LocalWorkflow({
    definition: failoverDefinition(to.group, US),
    folder: join(group.folder, input.run),
    pauseMs: 0,
    invoke: () => Promise.reject(Object.assign(new Error('killed'), { name: 'Runtime.ExitError' })),
    onEvent: (event) => told.push(tellStop(to, event)),
  });
  await workflow.start(input);
  await workflow.ended(input.run);
  await Promise.all(told);
  const { status, stderr } = await running;
  expect(status).not.toBe(0);
  expect(stderr).toMatch(
    new RegExp(`RUN_STOPPED: the execution ${input.run} failed .*ExitError.*redrive`, 's'),
  );
});

describe('switchover', () => {
  test('needs a successor, which is another Region', async () => {
    await found();
    expect(await group.run(['switchover'])).toMatchObject({ status: 2 });
    expect(await group.run(['switchover', '--to', EU])).toMatchObject({ status: 2 });
    expect((await group.run(['switchover', '--to', US], [EU])).stderr).toContain('REGION_UNREACHABLE');
  });

  test('is asked for where the leader is; one that is taken back was refused', async () => {
    await found();
    const running = group.run(['switchover', '--to', US]);
    const input = await requested(EU);
    expect(input).toMatchObject({ kind: 'switchover', successor: US });
    await makeSteps(EU, input, [
      ['yield', { outcome: 'refused', code: 'FAILOVER_REFUSED', why: 'the last writes were not logged' }],
      ['abandon', { outcome: 'abandoned' }],
    ]);
    const { status, stderr } = await running;
    expect([status, stderr]).toEqual([4, expect.stringContaining('the last writes were not logged')]);
  });
});

describe('guards', () => {
  test('pause, resume and ack change the register alone, by a majority', async () => {
    await found();
    expect(await group.run(['pause'])).toMatchObject({ status: 2 });
    const paused = await group.run(['pause', '--reason', 'maintenance', '--by', 'ann', '--json'], [AP]);
    expect(paused.json[0]).toMatchObject({
      epoch: 1,
      leader: EU,
      paused: { by: 'ann', reason: 'maintenance' },
    });
    expect((await group.run(['status'])).stdout).toContain('Paused by ann: maintenance');
    expect((await group.run(['resume', '--json'])).json[0]).not.toHaveProperty('paused');
    expect((await group.run(['ack', '--json'])).json[0]).toMatchObject({ cooldownUntilMs: 0 });
    const alone = await group.run(['resume'], [US, AP]);
    expect([alone.status, alone.stderr]).toEqual([1, expect.stringContaining('REGISTER_UNAVAILABLE')]);
  });

  test('approve answers the run that waits, once', async () => {
    await found();
    const run = 'run-1';
    const input: FailoverInput = {
      group: group.config.group,
      epoch: E1,
      kind: 'failover',
      run,
      trigger: 'votes',
      approval: true,
    };
    const asked = { input, askedAtMs: Date.now() };
    const approvals = group.peers.approvals(US);
    expect(await approvals.ask('token', asked)).toBe('waiting');
    expect((await group.run(['status'])).stdout).toMatch(/Waits for approval in us-east-1: run-1/);
    expect(await group.run(['approve', '--run', 'another'])).toMatchObject({ status: 2 });
    expect((await group.run(['approve', '--by', 'ann'])).stdout).toContain('run-1 (us-east-1): approved');
    expect(await approvals.ask('token', asked)).toEqual({ outcome: 'approved', by: 'ann' });
    expect(await group.run(['approve'])).toMatchObject({ status: 2 });
  });
});

const UNPROVEN = { proven: false, detail: 'no answer in time' };
/** What a fence was judged by: two of three Regions have voted, and both followers' logs are sealed. */
const EVIDENCE = {
  seals: [US, AP].map((region) => ({ region, sealed: true })),
  members: 3,
  votes: 2,
  waitedMs: 0,
  leaseAndMarginMs: 2_000,
  watchdog: UNPROVEN,
  engine: UNPROVEN,
  host: UNPROVEN,
};

describe('history', () => {
  const candidate = (region: RegionId, lastLsn: string) => ({
    region,
    lastEpoch: 1,
    lastLsn,
    lastCommitMs: 1_000,
    appliedLsn: lastLsn,
    appliedCommitMs: 1_000,
    copying: false,
    attached: true,
    noFailover: false,
    priority: 0,
  });
  const given = {
    candidates: [candidate(US, '9'), candidate(AP, '10')],
    rules: { maxLagMs: 60_000, force: false, replaced: EU },
  };
  const elected = (winner: RegionId) => ({
    outcome: 'elected',
    winner,
    pullFrom: [],
    candidates: [US, AP].map((region) => ({ region, eligible: true, why: 'eligible' })),
    rpo: { records: null, ms: null },
  });
  const run = (name: string) => ({ run: name }) as FailoverInput;

  test('merges what every Region wrote down, the newest last', async () => {
    await found();
    await makeSteps(US, run('one'), [['claim', { outcome: 'claimed' }, { force: false }]]);
    await makeSteps(AP, run('two'), [['claim', { outcome: 'superseded' }]]);
    const { json } = await group.run(['history', '--json']);
    expect(json.map((line) => [line.region, line.run, line.step])).toEqual([
      [US, 'one', 'claim'],
      [AP, 'two', 'claim'],
    ]);
    expect((await group.run(['history', '--epoch', '1', '--json'])).json).toEqual([]);
    const partial = await group.run(['history', '--json'], [AP]);
    expect(partial.json).toHaveLength(1);
    expect(partial.stderr).toContain('ap-southeast-2: its decisions are missing');
  });

  test('--replay makes decisions again, and finds one that comes out otherwise', async () => {
    await found();
    await makeSteps(US, run('one'), [
      ['claim', { outcome: 'claimed' }, { force: true, reason: 'x' }],
      ['fence', { outcome: 'fenced', rungs: judgeFence(EVIDENCE).rungs }, EVIDENCE],
      ['drain', { outcome: 'drained' }],
      ['elect', { outcome: 'failed', code: 'REGION_UNREACHABLE', why: 'no answer' }],
      ['elect', elected(AP), given],
    ]);
    const same = await group.run(['history', '--replay']);
    expect(same.status).toBe(0);
    expect(same.stdout).toContain('3 decisions come out the same, 0 differ, 2 rest');
    await makeSteps(US, run('two'), [['elect', elected(US), given]]);
    const differs = await group.run(['history', '--replay']);
    expect(differs.status).toBe(1);
    expect(differs.stdout).toMatch(/differs: recorded .*us-east-1.*now .*ap-southeast-2/);
  });
});

describe('divergence', () => {
  const changes = [
    {
      kind: 'insert',
      key: { id: { S: 'a' } },
      after: { id: { S: 'a' }, n: { B: new Uint8Array([1, 2]) } },
      lsn: 7n,
    },
    { kind: 'remove', key: { id: { S: 'b' } }, before: { id: { S: 'b' } } },
  ].map((each, index) => ({
    ...each,
    ...('lsn' in each && { lsn: parseLsn(each.lsn as bigint) }),
    keyBytes: new Uint8Array([index]),
    commitMs: 1_700_000_000_000,
    shard: 's',
    sequence: `${index}`,
  })) as unknown as Parameters<typeof encodeReport>[0];

  async function diverge(): Promise<void> {
    await found();
    const { bytes, hash } = encodeReport(changes);
    await group.peers.divergences(EU).put(hash, bytes);
    await group.peers.divergences(EU).save(E1, { hash, changes: 2, keys: 2, savedAtMs: 1_700_000_001_000 });
  }

  test('is shown change by change: key, before, after, time, and whether a log has it', async () => {
    await diverge();
    const { stdout } = await group.run(['divergence', 'show']);
    expect(stdout).toMatch(/eu-west-1, epoch 1: 2 changes of 2 keys/);
    expect(stdout).toMatch(
      /insert +\{"id":\{"S":"a"\}\} +\(none\) .*"AQI=".* +2023-11-14T22:13:20.000Z +LSN 7/,
    );
    expect(stdout).toMatch(/remove .*\(deleted\) .*not logged/);
    expect((await group.run(['divergence', 'show', '--json'])).json).toMatchObject([
      { region: EU, epoch: 1, kind: 'insert', lsn: '7' },
      { region: EU, epoch: 1, kind: 'remove', lsn: null },
    ]);
    expect((await group.run(['divergence', 'show', '--region', US])).stdout).toContain('No Region');
  });

  test('of a database is shown and exported as SQL, transaction by transaction', async () => {
    await found();
    const change = { kind: 'update' as const, table: 'public.t', shard: 's', commitMs: 1_700_000_000_000 };
    const told = [
      { sequence: '1', transaction: '0/A', sql: 'UPDATE public.t SET v = 1 WHERE id = 7', lsn: parseLsn(7n) },
      { sequence: '2', transaction: '0/A', sql: 'DELETE FROM public.t WHERE id = 8', lsn: parseLsn(8n) },
      { sequence: '3', transaction: '0/B', sql: 'TRUNCATE public.t' },
    ];
    const { bytes, ...report } = encodeReport(told.map((each) => ({ ...change, key: {}, ...each })));
    await group.peers.divergences(EU).put(report.hash, bytes);
    await group.peers.divergences(EU).save(E1, { ...report, savedAtMs: 1_700_000_001_000 });
    const statements = [
      '-- 2023-11-14T22:13:20.000Z, transaction 0/A, LSN 7 to 8',
      'BEGIN;',
      'UPDATE public.t SET v = 1 WHERE id = 7;',
      'DELETE FROM public.t WHERE id = 8;',
      'COMMIT;',
      '-- 2023-11-14T22:13:20.000Z, transaction 0/B, not logged',
      'BEGIN;',
      'TRUNCATE public.t;',
      'COMMIT;',
    ];
    expect((await group.run(['divergence', 'show'])).stdout).toContain(statements.join('\n'));
    const file = join(group.folder, `${group.config.group}.sql`);
    expect((await group.run(['divergence', 'export', file])).stdout).toContain('3 changes');
    expect((await readFile(file, 'utf8')).trim().split('\n').slice(1)).toEqual(statements);
  });

  test('of a table is not exported as SQL', async () => {
    await diverge();
    const file = join(group.folder, `${group.config.group}-table.sql`);
    expect(await group.run(['divergence', 'export', file])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('JSON lines'),
    });
  });

  test('is exported to a file that was not there', async () => {
    await diverge();
    const file = join(group.folder, `${group.config.group}.jsonl`);
    expect((await group.run(['divergence', 'export', file])).status).toBe(0);
    expect((await readFile(file, 'utf8')).trim().split('\n')).toHaveLength(2);
    expect((await group.run(['divergence', 'export', file])).status).toBe(2);
  });

  test('is discarded with a reason, once its report is saved; the report stays', async () => {
    await diverge();
    expect(await group.run(['divergence', 'discard'])).toMatchObject({ status: 2 });
    expect((await group.run(['status'])).stdout).toMatch(/Next: eu-west-1 had 2 changes of epoch 1/);
    const args = ['divergence', 'discard', '--reason', 'written again', '--by', 'ann'];
    expect((await group.run(args)).status).toBe(0);
    expect((await group.run(['divergence', 'show'])).stdout).toMatch(
      /discarded by ann .*written again[\s\S]*insert/,
    );
    expect((await group.run(args)).status).toBe(2);
    await group.peers.divergences(US).collect(E1, { hash: 'x', maxCommitMs: 1 });
    const unsaved = await group.run(args);
    expect([unsaved.status, unsaved.stderr]).toEqual([1, expect.stringContaining('DIVERGENCE_UNSAVED')]);
    expect((await group.run(['status'])).stdout).toContain('us-east-1, epoch 1: being collected');
    // It follows without a report: what was collected was no change, and stands in nobody's way.
    await group.peers.control(US).nameLeader({ epoch: E2, leader: EU });
    await group.peers.control(US).attach(E2);
    expect((await group.run(['status'])).stdout).not.toContain('being collected');
    expect((await group.run(['divergence', 'show', '--region', US])).stdout).toContain('No Region');
    expect((await group.run(args)).stderr).toContain('there is no divergence to discard');
  });

  test('of an epoch that is none is bad input', async () => {
    await found();
    expect(await group.run(['divergence', 'show', '--epoch', 'x'])).toMatchObject({ status: 2 });
    expect((await group.run(['history', '--epoch', '9'])).stdout).toContain('begin epoch 9');
  });
});

describe('reattach', () => {
  test('says which Regions follow, what the others wait for, and waits until all do', async () => {
    await found();
    expect((await group.run(['reattach'])).status).toBe(0);
    await group.peers.control(EU).nameLeader({ epoch: E2, leader: US });
    const { status, stdout } = await group.run(['reattach']);
    expect(status).toBe(1);
    expect(stdout).toMatch(/eu-west-1 +no +it led epoch 1/);
    const waiting = group.run(['reattach', '--wait', '60', '--json']);
    await group.peers.control(EU).attach(E2);
    expect(await waiting).toMatchObject({ status: 0 });
    expect((await group.run(['reattach'], [US])).stdout).toMatch(/us-east-1 +no +it does not answer/);
    expect((await group.run(['reattach', '--wait', 'long'])).status).toBe(2);
  });
});

test('arguments that nobody knows end with the status of bad input', async () => {
  expect(await group.run(['status', '--verbose'])).toMatchObject({ status: 2 });
  expect(await group.run(['failover', '--help'])).toMatchObject({ status: 0 });
});

test('a request stays under the name of its run', async () => {
  await found();
  await voteOut();
  const { json } = await group.run(['failover', '--to', US, '--detach', '--json']);
  const { Item } = await group.peers.clients(US).dynamodb.send(
    new GetItemCommand({
      TableName: group.config.controlTable,
      Key: { id: { S: `${group.config.group}#request#${json[0]!.run}` } },
    }),
  );
  expect(JSON.parse(Item!.input!.S!)).toMatchObject({ run: json[0]!.run, successor: US });
});
