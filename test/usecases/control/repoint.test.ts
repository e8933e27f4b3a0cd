import { describe, expect, test } from 'vitest';
import { BALLOT_ZERO, ballotAfter } from '#lib/domain/control/acceptor.ts';
import { founded } from '#lib/domain/control/register.ts';
import { MemoryVantages } from '#lib/local/memory/memory-vantages.ts';
import {
  type FailoverDeps,
  type FailoverState,
  knownBy,
  type RepointResult,
} from '#lib/usecases/control/failover-deps.ts';
import { awaitDns, repointClients } from '#lib/usecases/control/repoint.ts';
import { verifyLeader } from '#lib/usecases/control/verify.ts';
import { FailoverGroup, targetOf } from '../../support/failover-group.ts';
import { E1, E2, E3, GROUP } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

/** US is elected and promoted to end EU's epoch 1. */
const STATE: FailoverState = {
  input: { group: GROUP, epoch: E1, kind: 'failover', run: 'run', trigger: 'votes', approval: false },
  elect: {
    outcome: 'elected',
    winner: US,
    pullFrom: [],
    candidates: [],
    rpo: { records: 0, ms: 0 },
  },
  promote: { outcome: 'promoted', leader: US, epoch: E2 },
};
const [EU_NAME, US_NAME] = [targetOf(EU), targetOf(US)];

async function open() {
  const group = await new FailoverGroup([EU, US, AP]).found(EU);
  const served = new Map<string, readonly string[] | undefined>([
    ['ns-1', [EU_NAME]],
    ['ns-2', [EU_NAME]],
  ]);
  const vantages = new MemoryVantages(() => served);
  const { record, vantages: _, ...others } = group.failoverDeps(US);
  const having = (repoint: RepointResult): FailoverState => ({ ...STATE, repoint });
  return { group, served, vantages, record: record!, others, having };
}

const dns = (group: FailoverGroup, deps: FailoverDeps, state: FailoverState) =>
  group.run(awaitDns(deps, state));
const verify = (group: FailoverGroup, deps: FailoverDeps) => group.run(verifyLeader(deps, STATE));

describe('with a record that a failover changes', () => {
  test('the change is waited for, and then clients are looked for', async () => {
    const { group, others, record, served, vantages, having } = await open();
    const deps = { ...others, record, vantages };
    const repoint = (await group.run(repointClients(deps, STATE))) as RepointResult;
    expect(repoint).toEqual({ outcome: 'submitted', change: expect.any(String), target: US_NAME });
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'pending' });
    group.record.settle();
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'in-sync' });

    served.set('ns-1', [US_NAME]);
    expect(await verify(group, deps)).toEqual({
      outcome: 'unverified',
      why: `of DNS, ns-2 names ${EU_NAME}, not ${US_NAME}`,
    });
    served.set('ns-2', undefined);
    expect(await verify(group, deps)).toEqual({
      outcome: 'unverified',
      why: 'of DNS, ns-2 does not answer: no answer',
    });
    served.set('ns-2', [US_NAME]);
    expect(await verify(group, deps)).toEqual({ outcome: 'verified', leader: US, target: US_NAME });
  });

  test('a change that handing over has made is waited for as its own', async () => {
    const { group, others, record, vantages, having } = await open();
    const deps = { ...others, record, vantages };
    const made = (await group.run(repointClients(deps, STATE))) as RepointResult;
    const document = { input: STATE.input, handover: { ...STATE, outcome: 'handed-over', repoint: made } };
    const repoint = (await group.run(repointClients(deps, knownBy(document)))) as RepointResult;
    expect(repoint).toEqual({ outcome: 'submitted', change: expect.any(String), target: US_NAME });
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'pending' });
    group.record.settle();
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'in-sync' });
  });

  test('a change whose answer was lost is waited for until the name servers have it', async () => {
    const { group, others, record, served, vantages, having } = await open();
    const deps = { ...others, record, vantages };
    await group.run(repointClients(deps, STATE));
    const repoint = (await group.run(repointClients(deps, STATE))) as RepointResult;
    expect(repoint).toEqual({ outcome: 'already', target: US_NAME });
    served.set('ns-1', [US_NAME]);
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'pending' });
    served.set('ns-2', [US_NAME]);
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'in-sync' });
  });

  test('in a zone that cannot be asked from here, the control plane is believed', async () => {
    const { group, others, record, served, vantages } = await open();
    const deps = { ...others, record, vantages };
    await group.run(repointClients(deps, STATE));
    for (const vantage of served.keys()) served.set(vantage, undefined);
    expect(await verify(group, deps)).toMatchObject({ outcome: 'verified' });
  });
});

describe('with sets that health checks choose from', () => {
  test('nothing is called, and every vantage is waited for', async () => {
    const { group, others, served, vantages, having } = await open();
    const deps = { ...others, vantages };
    const repoint = (await group.run(repointClients(deps, STATE))) as RepointResult;
    expect(repoint).toEqual({ outcome: 'by-health-checks', target: US_NAME });
    expect(await group.record.read()).toEqual({ epoch: E1, target: EU_NAME });

    for (const [one, two] of [
      [[EU_NAME], [US_NAME]],
      [[US_NAME], undefined],
      [[US_NAME], [EU_NAME, US_NAME]],
      [undefined, undefined],
    ]) {
      served.set('ns-1', one).set('ns-2', two);
      expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'pending' });
      expect(await verify(group, deps)).toMatchObject({ outcome: 'unverified' });
    }
    served.set('ns-1', [US_NAME]).set('ns-2', [US_NAME]);
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'in-sync' });
    expect(await verify(group, deps)).toMatchObject({ outcome: 'verified', target: US_NAME });
  });

  test('a run that was replaced waits no longer for what cannot come', async () => {
    const { group, others, vantages, having } = await open();
    const deps = { ...others, vantages };
    const ballot = ballotAfter(ballotAfter(BALLOT_ZERO, EU, 'first'), AP, 'second');
    for (const region of group.members) {
      await group.vote(E2, region);
      await group.acceptor(region).accept(ballot, founded(AP, E3, 'another'));
    }
    const repoint: RepointResult = { outcome: 'by-health-checks', target: US_NAME };
    expect(await dns(group, deps, having(repoint))).toEqual({ outcome: 'superseded', epoch: E3, leader: AP });
  });
});

test('without DNS there is nothing to change or to look at', async () => {
  const { group, others, having } = await open();
  const repoint = (await group.run(repointClients(others, STATE))) as RepointResult;
  expect(repoint).toEqual({ outcome: 'already', target: US_NAME });
  expect(await dns(group, others, having(repoint))).toEqual({ outcome: 'in-sync' });
  group.broken.add(US);
  expect(await verify(group, others)).toMatchObject({
    outcome: 'unverified',
    why: expect.stringContaining('refuses'),
  });
  group.broken.delete(US);
  expect(await verify(group, others)).toMatchObject({ outcome: 'verified' });
});
