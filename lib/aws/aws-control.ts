import { type DynamoDBClient, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import { conditional, type SdkItem } from '#lib/aws/dynamo-failure.ts';
import { readStored, updateStored } from '#lib/aws/stored-item.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type GroupId, type LaneId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { type Leadership, type Role, roleAfter } from '#lib/domain/topology.ts';
import type { ApplyLease, ApplyState, Control, FitnessNotes, Rewound } from '#lib/ports/control.ts';

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
});

const rewoundSchema = z.object({ v: z.literal(1), to: lsn, epoch, lsn });

/**
 * A Region's control table: partition key `id`; items `<group>#role` and `<group>#apply#<lane>`. The apply item
 * holds the lease's token, the state and `rewound`, so that one condition guards them, and `unfit`, which is the
 * sentinel's.
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
    const item = await updateStored(this.#dynamodb, {
      TableName: this.#table,
      Key: { id: { S: this.#applyId(lane) } },
      UpdateExpression: 'ADD #token :one',
      ExpressionAttributeNames: { '#token': 'token' },
      ExpressionAttributeValues: { ':one': { N: '1' } },
      ReturnValues: 'ALL_NEW',
    });
    return { lease: { lane, token: Number(item?.token?.N) }, state: readState(item) };
  }

  async saveApplyState(lease: ApplyLease, state: ApplyState): Promise<'saved' | 'lost'> {
    const { unfit: _, rewound, ...durable } = state;
    return this.#save(lease, { state: durable, rewound });
  }

  noteRewound(lease: ApplyLease, rewound: Rewound): Promise<'saved' | 'lost'> {
    return this.#save(lease, { rewound });
  }

  /** Sets these attributes of the apply item, as JSON; removes those that are undefined. */
  async #save(
    lease: ApplyLease,
    given: Readonly<Record<string, object | undefined>>,
  ): Promise<'saved' | 'lost'> {
    const set = Object.entries(given).filter(([, value]) => value !== undefined);
    const remove = Object.keys(given).filter((name) => given[name] === undefined);
    const names = Object.keys(given).map((name) => [`#${name}`, name]);
    const values = set.map(([name, value]) => [`:${name}`, { S: toJson(value) }]);
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: { id: { S: this.#applyId(lease.lane) } },
          UpdateExpression: [
            `SET ${set.map(([name]) => `#${name} = :${name}`).join(', ')}`,
            ...(remove.length === 0 ? [] : [`REMOVE ${remove.map((name) => `#${name}`).join(', ')}`]),
          ].join(' '),
          ConditionExpression: '#token = :token',
          ExpressionAttributeNames: { '#token': 'token', ...Object.fromEntries(names) },
          ExpressionAttributeValues: {
            ':token': { N: `${lease.token}` },
            ...Object.fromEntries(values),
          },
        }),
      ),
    );
    return outcome.kind === 'done' ? 'saved' : 'lost';
  }

  async noteFitness(lane: LaneId, unfit: string | undefined): Promise<void> {
    await updateStored(this.#dynamodb, {
      TableName: this.#table,
      Key: { id: { S: this.#applyId(lane) } },
      UpdateExpression: unfit === undefined ? 'REMOVE unfit' : 'SET unfit = :unfit',
      ...(unfit !== undefined && { ExpressionAttributeValues: { ':unfit': { S: unfit } } }),
    });
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
    return item && readStored(item, roleOf);
  }

  /** Only if the role is still that of the epoch of `before`. */
  async #replaceRole(before: Role | undefined, { epoch, leader, attached, led }: Role): Promise<boolean> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: { id: { S: this.#roleId } },
          UpdateExpression: `SET epoch = :epoch, leader = :leader, attached = :attached${led === undefined ? ' REMOVE led' : ', led = :led'}`,
          ConditionExpression: before === undefined ? 'attribute_not_exists(id)' : 'epoch = :before',
          ExpressionAttributeValues: {
            ':epoch': { N: `${epoch}` },
            ':leader': { S: leader },
            ':attached': { N: `${attached}` },
            ...(led === undefined ? {} : { ':led': { N: `${led}` } }),
            ...(before && { ':before': { N: `${before.epoch}` } }),
          },
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

function toJson(value: object | undefined): string {
  return JSON.stringify({ v: 1, ...value }, (_, each) => (typeof each === 'bigint' ? each.toString() : each));
}

function readState(item: Readonly<SdkItem> | undefined): ApplyState {
  return item === undefined ? {} : readStored(item, stateOf);
}

function stateOf({ state: text, rewound: note, unfit }: Readonly<SdkItem>): ApplyState {
  const { v: _, ...state } = text?.S === undefined ? {} : stateSchema.parse(JSON.parse(text.S));
  const { v: __, ...rewound } = note?.S === undefined ? {} : rewoundSchema.parse(JSON.parse(note.S));
  return {
    ...state,
    ...('to' in rewound && { rewound }),
    ...(unfit?.S !== undefined && { unfit: unfit.S }),
  };
}

/** An item of a first release has neither `attached`, which is its epoch then, nor `led`. */
function roleOf({ epoch, leader, attached, led }: Readonly<SdkItem>): Role {
  const inForce = parseEpoch(epoch?.N ?? '');
  return {
    epoch: inForce,
    leader: parseRegionId(leader?.S ?? ''),
    attached: attached?.N === undefined ? inForce : parseEpoch(attached.N),
    ...(led?.N === undefined ? {} : { led: parseEpoch(led.N) }),
  };
}
