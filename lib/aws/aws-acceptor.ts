import {
  type AttributeValue,
  type DynamoDBClient,
  GetItemCommand,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { z } from 'zod';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import type { Acceptor, Answer, Ballot, Beat } from '#lib/domain/control/acceptor.ts';
import { BALLOT_ZERO, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type GroupId, parseRegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';

const region = z.string().transform(parseRegionId);

const registerSchema = z.object({
  epoch: z.number().transform(parseEpoch),
  phase: z.enum(['leading', 'failing-over', 'switching-over']),
  leader: region,
  coordinator: region,
  run: z.string(),
  successor: region.exactOptional(),
  cooldownUntilMs: z.number(),
  paused: z.object({ by: z.string(), reason: z.string() }).exactOptional(),
});

const endSchema = z.object({
  lsn: z.string().transform(parseLsn),
  commitMs: z.number(),
  peakPerSecond: z.number(),
});

/**
 * Item `<group>#acceptor` of a Region's control table, of less than 1 KiB. Attributes: `promised`, `ballot` and
 * `value` (JSON) of what was accepted, `epoch` of that value; `beatEpoch`, `beat` (counter), `leaseUntil`;
 * `endEpoch`, `end` (JSON) of the newest beat that had one; `vote` (epoch).
 */
export class AwsAcceptor implements AcceptorStore {
  readonly #dynamodb: DynamoDBClient;
  readonly #table: string;
  readonly #id: string;

  constructor(deps: { dynamodb: DynamoDBClient; group: GroupId; table: string }) {
    this.#dynamodb = deps.dynamodb;
    this.#table = deps.table;
    this.#id = `${deps.group}#acceptor`;
  }

  async read(): Promise<Acceptor> {
    const { Item } = await this.#dynamodb.send(
      new GetItemCommand({ TableName: this.#table, Key: { id: { S: this.#id } }, ConsistentRead: true }),
    );
    return toAcceptor(Item);
  }

  async prepare(ballot: Ballot): Promise<Answer<'promised' | 'outbid'>> {
    const { done, acceptor } = await this.#update({
      UpdateExpression: 'SET promised = :ballot',
      ConditionExpression: 'attribute_not_exists(promised) OR promised <= :ballot',
      ExpressionAttributeValues: { ':ballot': { S: ballot } },
    });
    return { kind: done ? 'promised' : 'outbid', acceptor };
  }

  async accept(ballot: Ballot, value: Register): Promise<Answer<'accepted' | 'outbid' | 'withheld'>> {
    const released = value.epoch === 1 ? '' : ' AND (epoch >= :epoch OR vote = :before)';
    const { done, acceptor } = await this.#update({
      UpdateExpression: 'SET promised = :ballot, ballot = :ballot, epoch = :epoch, #value = :value',
      ConditionExpression: `(attribute_not_exists(promised) OR promised <= :ballot)${released}`,
      ExpressionAttributeNames: { '#value': 'value' },
      ExpressionAttributeValues: {
        ':ballot': { S: ballot },
        ':epoch': number(value.epoch),
        ':value': { S: JSON.stringify(value) },
        ...(released === '' ? {} : { ':before': number(value.epoch - 1) }),
      },
    });
    if (done) return { kind: 'accepted', acceptor };
    return { kind: acceptor.promised > ballot ? 'outbid' : 'withheld', acceptor };
  }

  async beat(beat: Beat): Promise<Answer<'lent' | 'deposed' | 'stale'>> {
    const { epoch, counter, leaseUntilMs, end } = beat;
    const { done, acceptor } = await this.#update({
      UpdateExpression: `SET beatEpoch = :epoch, beat = :counter, leaseUntil = :lease${end ? ', endEpoch = :epoch, #end = :end' : ''}`,
      ConditionExpression:
        '(attribute_not_exists(epoch) OR epoch <= :epoch) AND (attribute_not_exists(vote) OR vote < :epoch) AND ' +
        '(attribute_not_exists(beatEpoch) OR beatEpoch < :epoch OR (beatEpoch = :epoch AND beat < :counter))',
      ...(end && { ExpressionAttributeNames: { '#end': 'end' } }),
      ExpressionAttributeValues: {
        ':epoch': number(epoch),
        ':counter': number(counter),
        ':lease': number(leaseUntilMs),
        ...(end && { ':end': { S: JSON.stringify({ ...end, lsn: `${end.lsn}` }) } }),
      },
    });
    if (done) return { kind: 'lent', acceptor };
    const deposed = (acceptor.accepted?.value.epoch ?? 0) > epoch || (acceptor.vote ?? -1) >= epoch;
    return { kind: deposed ? 'deposed' : 'stale', acceptor };
  }

  async vote(epoch: Epoch, counter: number | 'over'): Promise<Answer<'voted' | 'beaten' | 'deposed'>> {
    const still =
      counter === 'over'
        ? ''
        : counter === 0
          ? ' AND (attribute_not_exists(beatEpoch) OR beatEpoch < :vote)'
          : ' AND beatEpoch = :vote AND beat = :counter';
    const { done, acceptor } = await this.#update({
      UpdateExpression: 'SET vote = :vote',
      ConditionExpression: `(attribute_not_exists(epoch) OR epoch <= :vote) AND (attribute_not_exists(vote) OR vote <= :vote)${still}`,
      ExpressionAttributeValues: {
        ':vote': number(epoch),
        ...(counter === 'over' || counter === 0 ? {} : { ':counter': number(counter) }),
      },
    });
    if (done) return { kind: 'voted', acceptor };
    const deposed = (acceptor.accepted?.value.epoch ?? 0) > epoch || (acceptor.vote ?? -1) > epoch;
    return { kind: deposed ? 'deposed' : 'beaten', acceptor };
  }

  async unvote(epoch: Epoch): Promise<Answer<'restored' | 'deposed'>> {
    const { done, acceptor } = await this.#update({
      UpdateExpression: 'REMOVE vote',
      ConditionExpression:
        '(attribute_not_exists(epoch) OR epoch <= :vote) AND (attribute_not_exists(vote) OR vote = :vote)',
      ExpressionAttributeValues: { ':vote': number(epoch) },
    });
    return { kind: done ? 'restored' : 'deposed', acceptor };
  }

  async #update(
    update: Omit<UpdateItemCommandInput, 'TableName' | 'Key'>,
  ): Promise<{ done: boolean; acceptor: Acceptor }> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: { id: { S: this.#id } },
          ReturnValues: 'ALL_NEW',
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          ...update,
        }),
      ),
    );
    return outcome.kind === 'done'
      ? { done: true, acceptor: toAcceptor(outcome.result.Attributes) }
      : { done: false, acceptor: toAcceptor(outcome.item) };
  }
}

function number(value: number): AttributeValue {
  return { N: `${value}` };
}

function toAcceptor(item: Readonly<Record<string, AttributeValue>> | undefined): Acceptor {
  if (item === undefined) return NO_ACCEPTOR;
  try {
    const { promised, ballot, value, vote, beatEpoch, beat, leaseUntil, endEpoch, end } = item;
    return {
      promised: (promised?.S ?? BALLOT_ZERO) as Ballot,
      ...(ballot?.S !== undefined && {
        accepted: { ballot: ballot.S as Ballot, value: registerSchema.parse(JSON.parse(value?.S ?? '')) },
      }),
      ...(vote?.N !== undefined && { vote: parseEpoch(vote.N) }),
      ...(beatEpoch?.N !== undefined && {
        beat: {
          epoch: parseEpoch(beatEpoch.N),
          counter: Number(beat?.N),
          leaseUntilMs: Number(leaseUntil?.N),
        },
      }),
      ...(end?.S !== undefined && {
        leaderEnd: { epoch: parseEpoch(endEpoch?.N ?? ''), end: endSchema.parse(JSON.parse(end.S)) },
      }),
    };
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new UnderstudyError(
      'STORED_ITEM_INVALID',
      `item ${item.id?.S} of the control table is not as this release writes it: ${why}`,
      'Deploy the release that wrote it, or a newer one; never edit items of the control table by hand.',
      { cause },
    );
  }
}
