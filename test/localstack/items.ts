import { GetItemCommand } from '@aws-sdk/client-dynamodb';
import type { Group } from './group.ts';
import type { Item } from './replicas.ts';

/** What the public API tells of a Region, read as anybody with the right to would. */
export type Standing = {
  readonly region: string;
  /** By the acceptor: the value of the register that this Region has accepted. */
  readonly epoch: number;
  readonly leader: string;
  readonly phase: string;
  /** Until when the leader's lease lasts, as this Region has heard; Unix ms. */
  readonly leaseUntilMs: number;
  /** By the head of the log. */
  readonly lastLsn: bigint;
  readonly lastEpoch: number;
  readonly sealedEpoch: number;
  readonly chain: string;
  /** By the role: who leads, and the epoch that this Region follows. */
  readonly roleEpoch: number;
  readonly roleLeader: string;
  readonly attached: number;
};

export async function standingOf(group: Group, region: string): Promise<Standing> {
  const control = (id: string) => get(group, region, group.controlTable, { id: { S: `${group.id}#${id}` } });
  const [acceptor, role, head] = await Promise.all([
    control('acceptor'),
    control('role'),
    get(group, region, group.logTable, { lane: { S: `${group.id}#0` }, at: { S: 'head' } }),
  ]);
  const value = JSON.parse(acceptor.value?.S ?? '{}') as { leader?: string; phase?: string };
  return {
    region,
    epoch: Number(acceptor.epoch?.N ?? 0),
    leader: value.leader ?? '',
    phase: value.phase ?? '',
    leaseUntilMs: Number(acceptor.leaseUntil?.N ?? 0),
    lastLsn: BigInt(head.lastLsn?.N ?? 0),
    lastEpoch: Number(head.lastEpoch?.N ?? 0),
    sealedEpoch: Number(head.sealedEpoch?.N ?? 0),
    chain: head.chain?.S ?? '',
    roleEpoch: Number(role.epoch?.N ?? 0),
    roleLeader: role.leader?.S ?? '',
    attached: Number(role.attached?.N ?? 0),
  };
}

export async function standingsOf(group: Group, regions = group.regions): Promise<readonly Standing[]> {
  return Promise.all(regions.map((region) => standingOf(group, region)));
}

/** The steps that the coordinator of an epoch has written down, in order. */
export async function decisionsOf(group: Group, region: string, epoch: number): Promise<readonly string[]> {
  const item = await get(group, region, group.controlTable, { id: { S: `${group.id}#history#${epoch}` } });
  return (item.decisions?.L ?? []).map(({ S = '' }) => {
    const { step, outcome } = JSON.parse(S) as { step: string; outcome: { outcome: string } };
    return `${step} ${outcome.outcome}`;
  });
}

async function get(group: Group, region: string, table: string, key: Item): Promise<Item> {
  const { Item } = await group
    .dynamodb(region)
    .send(new GetItemCommand({ TableName: table, Key: key, ConsistentRead: true }));
  return Item ?? {};
}
