import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { ReplicatedWriteConflictException } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AwsPeers, type GroupResources } from '#lib/aws/aws-peers.ts';
import { MrscAcceptor } from '#lib/aws/mrsc-acceptor.ts';
import { founded } from '#lib/domain/control/register.ts';
import { parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import type { Acceptors } from '#lib/ports/acceptor-store.ts';
import { changeRegister, keep, readRegister } from '#lib/usecases/control/change-register.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';
import { acceptorContract } from '../contracts/acceptor.contract.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';
import { E1, E2 } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';

/** What befalls a write: nothing, or a conflict before or after it has taken effect. */
type Fate = 'none' | 'before' | 'after';

let server: TestServer;
let table: string;
let groups = 0;
let writes = 0;
/** Of the writes to come, by their number since the test began. */
let fateOf: (write: number) => Fate;
/** Called once a write has taken effect and its answer is to be lost. */
let meanwhile: () => Promise<void>;

beforeAll(async () => {
  server = await startTestServer();
  table = await server.createTable(CONTROL_KEY);
  server.dynamodb.middlewareStack.add(
    (next, { commandName }) =>
      async (parameters) => {
        const fate = commandName === 'UpdateItemCommand' ? fateOf(writes++) : 'none';
        if (fate !== 'before') {
          const result = await next(parameters);
          if (fate === 'none') return result;
          await meanwhile();
        }
        throw new ReplicatedWriteConflictException({ message: 'another Region', $metadata: {} });
      },
    { step: 'initialize' },
  );
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  writes = 0;
  fateOf = () => 'none';
  meanwhile = async () => {};
});

function open(group = `group-${++groups}`): Acceptors {
  const deps = { dynamodb: server.dynamodb, group: parseGroupId(group), table, newNonce: randomUUID };
  return { members: [EU, US, AP], of: (region: RegionId) => new MrscAcceptor({ ...deps, region }) };
}

async function neighbours() {
  const acceptors = open();
  return { acceptor: acceptors.of(EU), others: [acceptors.of(US), open().of(EU)] };
}

acceptorContract('the item of an MRSC table', neighbours);

describe('with conflicts, in turn before and after the effect', () => {
  beforeEach(() => {
    fateOf = (write) => (['before', 'after', 'none'] as const)[write % 3]!;
  });
  acceptorContract('the item of an MRSC table', neighbours, 25);
});

describe('the acceptors of an MRSC table', () => {
  const beat = { epoch: E1, counter: 5, leaseUntilMs: 0 };

  test("know a beat that is refused by its own earlier try from one that somebody else's has overtaken", async () => {
    const acceptor = open().of(EU);
    await acceptor.join(ballot(1), founded(EU, E1, 'r'));
    writes = 0;
    fateOf = (write) => (write === 0 ? 'after' : 'none');
    expect((await acceptor.beat(beat)).kind).toBe('lent');
    expect((await acceptor.beat(beat)).kind).toBe('stale');

    const other = open().of(EU);
    fateOf = () => 'none';
    await other.join(ballot(1), founded(EU, E1, 'r'));
    fateOf = (write) => (write === 0 ? 'after' : 'none');
    writes = 0;
    meanwhile = async () => {
      meanwhile = async () => {};
      await other.beat({ ...beat, counter: 6 });
    };
    expect((await other.beat(beat)).kind).toBe('stale');
  });

  test('do not take a promise for theirs that somebody has outbid meanwhile', async () => {
    const acceptor = open().of(EU);
    fateOf = (write) => (write === 0 ? 'after' : 'none');
    meanwhile = async () => {
      await acceptor.prepare(ballot(2, US));
    };
    expect(await acceptor.prepare(ballot(1))).toMatchObject({
      kind: 'outbid',
      acceptor: { promised: ballot(2, US) },
    });
  });

  test('give up on a conflict that does not end, and pass other failures on at once', async () => {
    const acceptor = open().of(EU);
    fateOf = () => 'before';
    await expect(acceptor.prepare(ballot(1))).rejects.toBeInstanceOf(ReplicatedWriteConflictException);
    expect(writes).toBe(9);
    fateOf = () => {
      throw new Error('no network');
    };
    await expect(acceptor.prepare(ballot(1))).rejects.toThrow('no network');
    expect(writes).toBe(10);
  });

  test('are asked by the replica at hand, whoever’s they are; from nowhere, each in its own Region', async () => {
    const { hostname, port } = await server.dynamodb.config.endpoint!();
    const at = (register: string) => ({
      dynamodb: 'http://127.0.0.1:1',
      register,
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    });
    const members = ['eu-west-1', 'eu-west-2', 'eu-west-3'].map(parseRegionId);
    const [near, far, last] = members as [RegionId, RegionId, RegionId];
    const resources: GroupResources = {
      ...parseGroup({
        group: `group-${++groups}`,
        engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
        regions: members.map((name) => ({ name })),
        register: { kind: 'mrsc', table },
      }),
      logTable: 'log',
      controlTable: 'control',
      buckets: {},
      endpoints: {
        [near]: at(`http://${hostname}:${port}`),
        [far]: at('http://127.0.0.1:1'),
        [last]: at('http://127.0.0.1:1'),
      },
    };
    const within = new AwsPeers(resources, 'stamp', { from: near });
    expect((await within.acceptor(far).prepare(ballot(1))).kind).toBe('promised');
    const outside = new AwsPeers(resources, 'stamp');
    expect((await outside.acceptor(near).read()).promised).toBe('');
    await expect(outside.acceptor(far).read()).rejects.toThrow('ECONNREFUSED');
    await expect(new AwsPeers(resources, 'stamp', { from: far }).acceptor(near).read()).rejects.toThrow();
  });

  test('agree on a register, one item for each Region', async () => {
    const acceptors = open();
    fateOf = (write) => (write % 4 === 1 ? 'after' : 'none');
    const deps = {
      acceptors,
      region: EU,
      chance: randomUUID,
      random: () => 0,
      sleep: (ms: number) => setTimeout(ms),
    };
    await foundGroup(deps, founded(EU, E1, 'r'));
    expect((await changeRegister(deps, keep)).kind).toBe('changed');
    expect(await readRegister(deps)).toEqual(founded(EU, E1, 'r'));
    const next = { ...founded(US, E2, 's'), phase: 'failing-over' as const };
    const claim = () => changeRegister(deps, () => ({ kind: 'changed', register: next }));
    expect((await claim()).kind).toBe('withheld');
    for (const at of [EU, AP]) await acceptors.of(at).vote(E1, 'over');
    expect((await claim()).kind).toBe('changed');
    expect(await readRegister({ ...deps, region: AP })).toEqual(next);
  });
});
