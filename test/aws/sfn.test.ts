import {
  ExecutionAlreadyExists,
  ExecutionDoesNotExist,
  SendTaskSuccessCommand,
  type SFNClient,
  StartExecutionCommand,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SfnApproval } from '#lib/aws/sfn-approval.ts';
import { SfnWorkflow } from '#lib/aws/sfn-workflow.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const GROUP = parseGroupId('orders');
const INPUT: FailoverInput = {
  group: 'orders',
  epoch: parseEpoch(7),
  kind: 'failover',
  run: 'orders-8-eu-west-1',
  trigger: 'votes',
  approval: true,
};
const ASKED = { input: INPUT, askedAtMs: 1_700_000_000_000 };
const YES = { outcome: 'approved', by: 'mia' } as const;
const NO = { outcome: 'denied', by: 'max' } as const;

/** A client that keeps what it is sent, and fails with `error` if one is given. */
function stepFunctions(error?: Error): { sfn: SFNClient; sent: object[] } {
  const sent: object[] = [];
  const send = async (command: object) => {
    sent.push(command);
    if (error !== undefined) throw error;
    return {};
  };
  return { sfn: { send } as unknown as SFNClient, sent };
}
const inputsOf = (sent: readonly object[]) => sent.map((each) => (each as { input: unknown }).input);

describe('the workflow on Step Functions', () => {
  const stateMachineArn = 'arn:aws:states:eu-west-1:111122223333:stateMachine:understudy-orders-failover';

  it('starts an execution under the name of the run, with the input as people read it', async () => {
    const { sfn, sent } = stepFunctions();
    expect(await new SfnWorkflow({ sfn, stateMachineArn }).start(INPUT)).toBe('started');
    expect(sent[0]).toBeInstanceOf(StartExecutionCommand);
    expect(inputsOf(sent)).toEqual([{ stateMachineArn, name: INPUT.run, input: JSON.stringify(INPUT) }]);
  });

  it('says so if the name is used up, and fails with all else', async () => {
    const used = new ExecutionAlreadyExists({ message: 'used', $metadata: {} });
    expect(await new SfnWorkflow({ ...stepFunctions(used), stateMachineArn }).start(INPUT)).toBe('exists');
    const broken = stepFunctions(new Error('broken'));
    await expect(new SfnWorkflow({ ...broken, stateMachineArn }).start(INPUT)).rejects.toThrow('broken');
  });
});

describe('an execution', () => {
  const stateMachineArn = 'arn:aws:states:eu-west-1:111122223333:stateMachine:understudy-orders-failover';
  const stopOf = (answer: object) => {
    const sent: object[] = [];
    const send = async (command: object) => {
      sent.push(command);
      if (answer instanceof Error) throw answer;
      return answer;
    };
    const workflow = new SfnWorkflow({ sfn: { send } as unknown as SFNClient, stateMachineArn });
    return { sent, stop: workflow.stopOf(INPUT.run) };
  };

  it.each([
    ['FAILED', 'failed'],
    ['TIMED_OUT', 'timed out'],
    ['ABORTED', 'was aborted'],
  ])('that is %s has stopped, with what is said of it', async (status, how) => {
    const { sent, stop } = stopOf({ status, error: 'Lambda.Unknown', cause: 'killed' });
    expect(await stop).toEqual({ how, why: 'Lambda.Unknown: killed' });
    const executionArn = `arn:aws:states:eu-west-1:111122223333:execution:understudy-orders-failover:${INPUT.run}`;
    expect(inputsOf(sent)).toEqual([{ executionArn }]);
    expect((await stopOf({ status }).stop)?.why).toBe('no reason is given');
  });

  it('that runs, is redriven, has succeeded or is not known has not', async () => {
    for (const status of ['RUNNING', 'PENDING_REDRIVE', 'SUCCEEDED'])
      expect(await stopOf({ status }).stop).toBeUndefined();
    const unknown = new ExecutionDoesNotExist({ message: 'none', $metadata: {} });
    expect(await stopOf(unknown).stop).toBeUndefined();
    await expect(stopOf(new Error('denied')).stop).rejects.toThrow('denied');
  });
});

describe('an approval', () => {
  let servers: RegionServers;
  let tables = 0;
  beforeAll(async () => {
    servers = await startRegionServers(parseRegionId('eu-west-1'));
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  /** Approvals of a table of their own. */
  async function approvals() {
    tables += 1;
    const table = `control-${tables}`;
    await servers.provision(
      {
        group: GROUP,
        engine: { kind: 'dynamodb', table: `data-${tables}`, key: [{ name: 'pk', type: 'S' }] },
        regions: [],
        witnesses: [],
      },
      { controlTable: table, logTable: `log-${tables}`, bucket: `bucket-${tables}` },
    );
    return (sfn?: SFNClient) =>
      new SfnApproval({ dynamodb: servers.clients.dynamodb, sfn, group: GROUP, table });
  }

  it('is pending until it is answered, which has the run go on by its token', async () => {
    const open = await approvals();
    expect(await open().pending()).toBeUndefined();
    expect(await open().ask('token-1', ASKED)).toBe('waiting');
    expect(await open().pending()).toEqual(ASKED);
    const { sfn, sent } = stepFunctions();
    expect(await open(sfn).answer(INPUT.run, YES)).toBe('answered');
    expect(sent[0]).toBeInstanceOf(SendTaskSuccessCommand);
    expect(inputsOf(sent)).toEqual([{ taskToken: 'token-1', output: JSON.stringify(YES) }]);
    expect(await open().pending()).toBeUndefined();
  });

  it('that was answered is told to who asks again for the same token, and forgotten for another', async () => {
    const open = await approvals();
    await open().ask('token-1', ASKED);
    expect(await open().ask('token-1', ASKED)).toBe('waiting');
    await open().answer(INPUT.run, NO);
    expect(await open().ask('token-1', ASKED)).toEqual(NO);
    expect(await open().ask('token-2', ASKED)).toBe('waiting');
    expect(await open().pending()).toEqual(ASKED);
  });

  it('is of one run, and is given once', async () => {
    const open = await approvals();
    expect(await open().answer(INPUT.run, YES)).toBe('none');
    await open().ask('token-1', ASKED);
    expect(await open().answer('another-run', YES)).toBe('none');
    expect(await open().answer(INPUT.run, YES)).toBe('answered');
    expect(await open().answer(INPUT.run, NO)).toBe('none');
    // The same again: the call that has the run go on may be what got lost.
    expect(await open().answer(INPUT.run, YES)).toBe('answered');
  });

  it('that comes when the run no longer waits has no effect, and says so', async () => {
    const open = await approvals();
    await open().ask('token-1', ASKED);
    const { sfn } = stepFunctions(new TaskTimedOut({ message: 'over', $metadata: {} }));
    expect(await open(sfn).answer(INPUT.run, YES)).toBe('none');
  });
});
