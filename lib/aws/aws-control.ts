import {
  type AttributeValue,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { z } from 'zod';
import { conditional, type SdkItem } from '#lib/aws/dynamo-failure.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type GroupId, type LaneId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { type Leadership, type Role, roleAfter } from '#lib/domain/topology.ts';
import type { ApplyLease, ApplyState, Control, FitnessNotes } from '#lib/ports/control.ts';

const lsn = z.string().transform(parseLsn);
const epoch = z.number().transform(parseEpoch);

/** The apply state is one JSON document in its item: nothing else reads its fields. */
const stateSchema = z.object({
  v: z.literal(1),
  applied: z
    .object({ lsn, epoch, totalBytes: z.string().transform(BigInt), commitMs: z.number() })
    .exactOptional(),
  snapshot: z
    .object({
      phase: z.enum(['copy', 'sweep', 'settle']),
      startLsn: lsn,
      startEpoch: epoch,
      cursor: z.string().exactOptional(),
      watermarkMs: z.number().exactOptional(),
      rowsCopied: z.number(),
      rowsEstimated: z.number(),
    })
    .exactOptional(),
  rewound: z.object({ to: lsn, epoch, lsn }).exactOptional(),
});

/**
 * A Region's control table: partition key `id`; items `<group>#role` and `<group>#apply#<lane>`. The apply item
 * holds the lease's token and the state, so that one condition guards both, and `unfit`, which is the sentinel's.
 */
export class AwsControl implements Control, FitnessNotes {
  readonly #dynamodb: DynamoDBClient;
  readonly #region: RegionId;
  readonly #group: GroupId;
  readonly #table: string;

  constructor(deps: { dynamodb: DynamoDBClient; region: RegionId; group: GroupId; table: string }) {
    this.#region = deps.region;
    this.#dynamodb = deps.dynamodb;
    this.#group = deps.group;
    this.#table = deps.table;
  }

  async role(): Promise<Role> {
    const role = await this.#role();
    if (role !== undefined) return role;
    throw new UnderstudyError(
      'ROLE_UNKNOWN',
      `control table ${this.#table} names no leader for group ${this.#group}`,
      'Start the group by naming its first leader.',
    );
  }

  async nameLeader(next: Leadership): Promise<'named' | 'superseded'> {
    for (;;) {
      const before = await this.#role();
      if (before !== undefined && before.epoch >= next.epoch) return 'superseded';
      if (await this.#replaceRole(before, roleAfter(before, next, this.#region))) return 'named';
    }
  }

  async attach(epoch: Epoch): Promise<'attached' | 'superseded'> {
    const before = await this.#role();
    if (before?.epoch !== epoch) return 'superseded';
    const { led: _, ...role } = before;
    return (await this.#replaceRole(before, { ...role, attached: epoch })) ? 'attached' : 'superseded';
  }

  async applyState(lane: LaneId): Promise<ApplyState> {
    return readState(await this.#get(this.#applyId(lane)));
  }

  async takeLease(lane: LaneId): Promise<{ lease: ApplyLease; state: ApplyState }> {
    const { Attributes } = await this.#dynamodb.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: { id: { S: this.#applyId(lane) } },
        UpdateExpression: 'ADD #token :one',
        ExpressionAttributeNames: { '#token': 'token' },
        ExpressionAttributeValues: { ':one': { N: '1' } },
        ReturnValues: 'ALL_NEW',
      }),
    );
    return { lease: { lane, token: Number(Attributes?.token?.N) }, state: readState(Attributes) };
  }

  async saveApplyState(lease: ApplyLease, state: ApplyState): Promise<'saved' | 'lost'> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: { id: { S: this.#applyId(lease.lane) } },
          UpdateExpression: 'SET #state = :state',
          ConditionExpression: '#token = :token',
          ExpressionAttributeNames: { '#token': 'token', '#state': 'state' },
          ExpressionAttributeValues: {
            ':token': { N: `${lease.token}` },
            ':state': { S: writeState(state) },
          },
        }),
      ),
    );
    return outcome.kind === 'done' ? 'saved' : 'lost';
  }

  async noteFitness(lane: LaneId, unfit: string | undefined): Promise<void> {
    await this.#dynamodb.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: { id: { S: this.#applyId(lane) } },
        UpdateExpression: unfit === undefined ? 'REMOVE unfit' : 'SET unfit = :unfit',
        ...(unfit !== undefined && { ExpressionAttributeValues: { ':unfit': { S: unfit } } }),
      }),
    );
  }

  /** The check of a lease as a part of another table's transaction. */
  leaseCheck(lease: ApplyLease) {
    return {
      TableName: this.#table,
      Key: { id: { S: this.#applyId(lease.lane) } },
      ConditionExpression: '#token = :token',
      ExpressionAttributeNames: { '#token': 'token' },
      ExpressionAttributeValues: { ':token': { N: `${lease.token}` } },
    };
  }

  async #role(): Promise<Role | undefined> {
    const item = await this.#get(this.#roleId);
    if (item?.leader?.S === undefined || item.epoch?.N === undefined) return undefined;
    const epoch = parseEpoch(item.epoch.N);
    return {
      epoch,
      leader: parseRegionId(item.leader.S),
      attached: item.attached?.N === undefined ? epoch : parseEpoch(item.attached.N),
      ...(item.led?.N === undefined ? {} : { led: parseEpoch(item.led.N) }),
    };
  }

  /** Only if the role is still that of the epoch of `before`. */
  async #replaceRole(before: Role | undefined, { epoch, leader, attached, led }: Role): Promise<boolean> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new PutItemCommand({
          TableName: this.#table,
          Item: {
            id: { S: this.#roleId },
            epoch: { N: `${epoch}` },
            leader: { S: leader },
            attached: { N: `${attached}` },
            ...(led === undefined ? {} : { led: { N: `${led}` } }),
          },
          ConditionExpression: before === undefined ? 'attribute_not_exists(id)' : 'epoch = :before',
          ...(before && { ExpressionAttributeValues: { ':before': { N: `${before.epoch}` } } }),
        }),
      ),
    );
    return outcome.kind === 'done';
  }

  get #roleId(): string {
    return `${this.#group}#role`;
  }

  async #get(id: string): Promise<SdkItem | undefined> {
    const { Item } = await this.#dynamodb.send(
      new GetItemCommand({ TableName: this.#table, Key: { id: { S: id } }, ConsistentRead: true }),
    );
    return Item;
  }

  #applyId(lane: LaneId): string {
    return `${this.#group}#apply#${lane}`;
  }
}

function writeState({ unfit: _, ...state }: ApplyState): string {
  return JSON.stringify({ v: 1, ...state }, (_, value) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

function readState(item: Record<string, AttributeValue> | undefined): ApplyState {
  const text = item?.state?.S;
  const unfit = item?.unfit?.S === undefined ? {} : { unfit: item.unfit.S };
  if (text === undefined) return unfit;
  try {
    const { v: _, ...state } = stateSchema.parse(JSON.parse(text));
    return { ...state, ...unfit };
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new UnderstudyError(
      'STORED_ITEM_INVALID',
      `item ${item?.id?.S} of the control table is not as this release writes it: ${why}`,
      'Deploy the release that wrote it, or a newer one; never edit items of the control table by hand.',
      { cause },
    );
  }
}
