import { readFile } from 'node:fs/promises';
import { type AttributeValue, PutItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb';
import { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { AwsDivergences } from '#lib/aws/aws-divergences.ts';
import { AwsHistory } from '#lib/aws/aws-history.ts';
import { AwsLog } from '#lib/aws/aws-log.ts';
import { entryAttributes, headAttributes, readEntry, readHead } from '#lib/aws/log-items.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { Entry, Head } from '#lib/domain/log.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import type { ApplyState } from '#lib/ports/control.ts';
import type { DivergenceReport } from '#lib/ports/divergences.ts';
import type { Decision } from '#lib/ports/history.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';
import { E1, E2, E3, GROUP } from '../support/log-history.ts';
import { EU, US } from '../support/memory-group.ts';

type Item = Record<string, AttributeValue>;

const REGISTER: Register = {
  ...founded(US, E2, 'orders-2-us-east-1-1'),
  cooldownUntilMs: 1_700_000_600_000,
  paused: { by: 'anna', reason: 'migration' },
};
const STATE: ApplyState = {
  applied: { lsn: parseLsn('41'), epoch: E2, totalBytes: 4_100n, commitMs: 1_700_000_000_000 },
  rewound: { to: parseLsn('30'), epoch: E1, lsn: parseLsn('33') },
  unfit: 'it lags',
};
const DECISION: Decision = {
  atMs: 1_700_000_000_000,
  epoch: E2,
  run: 'orders-2-us-east-1-1',
  step: 'claim',
  input: { epoch: 1 },
  outcome: { kind: 'claimed' },
};
const REPORT: DivergenceReport = { hash: 'ab'.repeat(32), changes: 2, keys: 1, savedAtMs: 1_700_000_001_000 };
const DISCARDED = { by: 'anna', reason: 'test data', atMs: 1_700_000_002_000 };
const HEAD: Head = {
  firstLsn: parseLsn('1'),
  lastLsn: parseLsn('41'),
  lastEpoch: E2,
  sealedEpoch: E2,
  chain: 'cd'.repeat(32),
  totalBytes: 4_100n,
  lastCommitMs: 1_700_000_000_000,
  marks: {
    'shardId-1': { sequence: '100', atMs: 1_700_000_000_000 },
    'shardId-2': { sequence: '101', atMs: 1_700_000_000_000, beatMs: 1_700_000_000_000 },
  },
  generation: 3,
  unlinkedAtMs: 0,
};
const ENTRY: Entry = {
  first: parseLsn('40'),
  count: 2,
  bytes: 100,
  epoch: E2,
  hash: 'ef'.repeat(32),
  prev: '01'.repeat(32),
  chain: HEAD.chain,
  totalBytes: 4_100n,
  minCommitMs: 1_700_000_000_000,
  maxCommitMs: 1_700_000_000_000,
  marks: { 'shardId-1': { sequence: '100', atMs: 1_700_000_000_000 } },
};

/** Items as release 0.1 writes them. They are in users' tables: what is here never changes, it is only added to. */
const FIRST = JSON.parse(
  await readFile(new URL('../fixtures/stored-items-0.1.json', import.meta.url), 'utf8'),
) as { control: Item[]; head: Item; entry: Item; segment: { B: string } };

/** An entry that holds its segment; JSON has no bytes. */
const SMALL: Item = { ...FIRST.entry, segment: { B: Buffer.from(FIRST.segment.B, 'base64') } };

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

/** A Region's tables with what is given in them. */
async function open(control: readonly Item[] = [], log: readonly Item[] = []) {
  const table = await server.createTable(CONTROL_KEY);
  const logTable = await server.createTable([
    { name: 'lane', type: 'S' },
    { name: 'at', type: 'S' },
  ]);
  const put = (TableName: string) => (Item: Item) =>
    server.dynamodb.send(new PutItemCommand({ TableName, Item }));
  await Promise.all([...control.map(put(table)), ...log.map(put(logTable))]);
  const own = { dynamodb: server.dynamodb, group: GROUP, table };
  const [s3, bucket] = [new S3Client({ region: EU }), 'none'];
  return {
    acceptor: new AwsAcceptor(own),
    control: new AwsControl({ ...own, region: EU }),
    history: new AwsHistory(own),
    divergences: new AwsDivergences({ ...own, s3, bucket }),
    log: new AwsLog({ ...own, table: logTable, s3, bucket }),
    async items(): Promise<readonly Item[]> {
      const scans = [table, logTable].map((TableName) =>
        server.dynamodb.send(new ScanCommand({ TableName })),
      );
      const found = (await Promise.all(scans)).flatMap(({ Items = [] }) => Items);
      return found.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)));
    },
  };
}

function nameOf({ id, lane }: Item): string {
  return id?.S ?? lane?.S ?? '';
}

type Place = Awaited<ReturnType<typeof open>>;

/** All that is done with a stored item without having read it first, and all reads. */
const ACTS: Readonly<Record<string, (at: Place) => Promise<unknown>>> = {
  'acceptor: read': ({ acceptor }) => acceptor.read(),
  'acceptor: prepare': ({ acceptor }) => acceptor.prepare(ballot(9)),
  'acceptor: accept': async ({ acceptor }) => {
    const { accepted } = await acceptor.read();
    return acceptor.accept(ballot(9), accepted?.value ?? REGISTER);
  },
  'acceptor: accept by consent': ({ acceptor }) => acceptor.accept(ballot(9), REGISTER, 'run/1'),
  'acceptor: join': ({ acceptor }) => acceptor.join(ballot(2), REGISTER),
  'acceptor: beat': ({ acceptor }) => acceptor.beat({ epoch: E2, counter: 9, leaseUntilMs: 0 }),
  'acceptor: vote': ({ acceptor }) => acceptor.vote(E2, 'over'),
  'acceptor: unvote': ({ acceptor }) => acceptor.unvote(E1),
  'acceptor: draw': ({ acceptor }) => acceptor.draw({ epoch: E2, count: 1, granted: 10 }),
  'control: role': ({ control }) => control.role(),
  'control: nameLeader': ({ control }) => control.nameLeader({ epoch: E3, leader: US }),
  'control: attach': ({ control }) => control.attach(E2),
  'control: applyState': ({ control }) => control.applyState(LANE_0),
  'control: takeLease': ({ control }) => control.takeLease(LANE_0),
  'control: noteFitness': ({ control }) => control.noteFitness(LANE_0, undefined),
  'history: record': ({ history }) => history.record(DECISION),
  'history: of': ({ history }) => history.of(E2),
  'divergences: collect': ({ divergences }) => divergences.collect(E1, { hash: 'x', maxCommitMs: 1 }),
  'divergences: save': async ({ divergences }) => {
    const { report = REPORT } = (await divergences.of(E1)) ?? {};
    return divergences.save(E1, { ...report, takenBack: E2 });
  },
  'divergences: discard': ({ divergences }) => divergences.discard(E1, DISCARDED),
  'divergences: of': ({ divergences }) => divergences.of(E1),
  'log: head': ({ log }) => log.head(LANE_0),
  'log: seal': ({ log }) => log.seal(LANE_0, E3),
};

describe('items as release 0.1 writes them', () => {
  test('are what this release writes, attribute by attribute, and reads', async () => {
    const at = await open();
    const { acceptor, control, divergences, history } = at;
    await acceptor.join(ballot(1), founded(EU, E1, 'founding'));
    await acceptor.vote(E1, 'over', 'orders-2-us-east-1-1/1');
    await acceptor.accept(ballot(2), REGISTER);
    const end = { lsn: HEAD.lastLsn, commitMs: HEAD.lastCommitMs, beyond: 1 };
    const beat = { epoch: E2, counter: 7, leaseUntilMs: 1_700_000_015_000, granted: 10 };
    await acceptor.beat({ ...beat, continues: true, end });
    await acceptor.draw({ epoch: E2, count: 1, granted: 10 });
    await control.nameLeader({ epoch: E1, leader: EU });
    await control.nameLeader({ epoch: E2, leader: US });
    const { lease } = await control.takeLease(LANE_0);
    await control.saveApplyState(lease, STATE);
    await control.noteFitness(LANE_0, STATE.unfit);
    await history.record(DECISION);
    await divergences.collect(E1, { hash: '12'.repeat(32), maxCommitMs: 1_700_000_000_000 });
    await divergences.save(E1, REPORT);
    await divergences.discard(E1, DISCARDED);
    expect(await at.items()).toEqual(FIRST.control);
    const key = ({ lane, at }: Item) => ({ lane, at });
    expect({ ...key(FIRST.head), ...headAttributes(HEAD) }).toEqual(FIRST.head);
    expect({ ...key(FIRST.entry), ...entryAttributes(ENTRY) }).toEqual(FIRST.entry);
    const small = { ...ENTRY, segment: Buffer.from('small') };
    expect({ ...key(FIRST.entry), ...entryAttributes(small) }).toEqual(SMALL);
    expect(readEntry(SMALL)).toEqual(small);

    const read = await open(FIRST.control);
    expect(await read.acceptor.read()).toEqual({
      promised: ballot(2),
      accepted: { ballot: ballot(2), value: REGISTER },
      vote: E1,
      voteBy: 'orders-2-us-east-1-1/1',
      drawn: 1,
      beat: { ...beat, continues: true },
      leaderEnd: { epoch: E2, end },
    });
    expect(await read.control.role()).toEqual({ epoch: E2, leader: US, attached: E1, led: E1 });
    expect(await read.control.applyState(LANE_0)).toEqual(STATE);
    expect(await read.history.of(E2)).toEqual([DECISION]);
    expect(await read.divergences.of(E1)).toMatchObject({ report: REPORT, discarded: DISCARDED });
    expect([readHead(FIRST.head), readEntry(FIRST.entry)]).toEqual([HEAD, ENTRY]);
  });

  test('of a Region that has never led or been attached again have a role without either', async () => {
    const item = { id: { S: `${GROUP}#role` }, epoch: { N: '4' }, leader: { S: US } };
    expect(await (await open([item])).control.role()).toEqual({ epoch: 4, leader: US, attached: 4 });
  });
});

describe('side by side with a later release', () => {
  /** What a later one adds where an older may ignore it. */
  function extended(item: Item): Item {
    const json = ['value', 'report'].filter((name) => item[name] !== undefined);
    const more = json.map((name) => [
      name,
      { S: JSON.stringify({ ...JSON.parse(item[name]!.S!), later: 1 }) },
    ]);
    return { ...item, ...Object.fromEntries(more), later: { S: 'later' } };
  }

  test.each(Object.entries(ACTS))('what it has added stays, whatever is done: %s', async (_, act) => {
    const at = await open(FIRST.control.map(extended), [extended(FIRST.head)]);
    await act(at);
    for (const item of await at.items()) expect(item.later).toEqual({ S: 'later' });
    const { accepted } = await at.acceptor.read();
    if (act === ACTS['acceptor: accept'])
      expect(accepted).toMatchObject({ ballot: ballot(9), value: { later: 1 } });
    expect((await at.divergences.of(E1))?.report).toMatchObject({ later: 1 });
  });

  test.each(Object.entries(ACTS))(
    'an item of its version is refused, and left as it is: %s',
    async (_, act) => {
      const later = { v: { N: '2' } };
      const items = [...FIRST.control, FIRST.head].map((item) => ({ ...item, ...later }));
      const at = await open(items.slice(0, -1), items.slice(-1));
      const before = await at.items();
      await expect(act(at)).rejects.toMatchObject({ code: 'STORED_ITEM_INVALID' });
      expect(await at.items()).toEqual(before);
    },
  );
});
