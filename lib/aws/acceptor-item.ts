import type { AttributeValue, UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import type { SdkItem } from '#lib/aws/dynamo-failure.ts';
import { readStored } from '#lib/aws/stored-item.ts';
import {
  type Acceptor,
  type Answer,
  BALLOT_ZERO,
  type Ballot,
  type Beat,
  type Consent,
  type Draw,
  draw,
  epochOf,
  isOutbid,
  isReleased,
  join,
  NO_ACCEPTOR,
  runOf,
} from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';

/*
 * An acceptor as an item, of less than 1 KiB. Attributes: `promised`; `ballot` and `value` (JSON) of what was
 * accepted, `epoch` of that value; `beatEpoch`, `beat` (counter), `leaseUntil`, `granted`, `continues`; `endEpoch`, `end` (JSON) of
 * the newest beat that had one; `vote` (epoch), `voteBy` (text); `drawn`.
 */

/** A rule of domain/control/acceptor.ts as one conditional write of the item. */
export type AcceptorWrite<K extends string> = {
  readonly update: Pick<
    UpdateItemCommandInput,
    'UpdateExpression' | 'ConditionExpression' | 'ExpressionAttributeNames' | 'ExpressionAttributeValues'
  >;
  readonly done: K;
  /** What a failed condition means, given the item that stood in the way. */
  readonly refused: (acceptor: Acceptor) => K;
  /** The condition holds a second time, and the write would add up: `condition AND …` may be put to it. */
  readonly adds?: true;
};

export function prepareWrite(ballot: Ballot): AcceptorWrite<'promised' | 'outbid'> {
  return {
    update: {
      UpdateExpression: 'SET promised = :ballot',
      ConditionExpression: 'attribute_not_exists(promised) OR promised <= :ballot',
      ExpressionAttributeValues: { ':ballot': { S: ballot } },
    },
    done: 'promised',
    refused: () => 'outbid',
  };
}

const ACCEPT = 'SET promised = :next, ballot = :ballot, epoch = :epoch, #value = :value';

type Acceptance = { readonly ballot: Ballot; readonly next?: Ballot | undefined; readonly value: Register };

/** Not outbid, or this very acceptance once more. */
const STANDS = '(promised <= :ballot OR (promised = :next AND ballot = :ballot))';

function acceptance({ ballot, next = ballot, value }: Acceptance): Record<string, AttributeValue> {
  return {
    ':ballot': { S: ballot },
    ':next': { S: next },
    ':epoch': number(value.epoch),
    ':value': { S: JSON.stringify(value) },
  };
}

function acceptWrite(each: Acceptance): AcceptorWrite<'accepted' | 'outbid' | 'withheld'> {
  return {
    update: {
      UpdateExpression: ACCEPT,
      ConditionExpression: `attribute_exists(ballot) AND ${STANDS} AND (epoch >= :epoch OR vote >= :before)`,
      ExpressionAttributeNames: { '#value': 'value' },
      ExpressionAttributeValues: {
        ...acceptance(each),
        ':before': number(each.value.epoch - 1),
      },
    },
    done: 'accepted',
    refused: (item) => (isOutbid(item, each.ballot, each.next) ? 'outbid' : 'withheld'),
  };
}

/** An acceptance that casts the vote which it needs. Where the Region has voted by itself, the plain one is for it. */
function acceptWithVoteWrite(
  each: Acceptance,
  by: Consent,
): AcceptorWrite<'accepted' | 'outbid' | 'withheld'> {
  return {
    update: {
      UpdateExpression: `${ACCEPT}, vote = :before, voteBy = :by`,
      ConditionExpression:
        `attribute_exists(ballot) AND ${STANDS} AND epoch <= :before AND ` +
        '(attribute_not_exists(vote) OR vote < :before OR (vote = :before AND begins_with(voteBy, :run)))',
      ExpressionAttributeNames: { '#value': 'value' },
      ExpressionAttributeValues: {
        ...acceptance(each),
        ':before': number(each.value.epoch - 1),
        ':by': { S: by },
        ':run': { S: runOf(by) },
      },
    },
    done: 'accepted',
    refused: (item) => (isOutbid(item, each.ballot, each.next) ? 'outbid' : 'withheld'),
  };
}

export function joinWrite(ballot: Ballot, value: Register): AcceptorWrite<'joined' | 'known' | 'outbid'> {
  return {
    update: {
      UpdateExpression: ACCEPT,
      ConditionExpression:
        '(attribute_not_exists(ballot) OR ballot = :ballot) AND (attribute_not_exists(promised) OR promised <= :ballot)',
      ExpressionAttributeNames: { '#value': 'value' },
      ExpressionAttributeValues: acceptance({ ballot, value }),
    },
    done: 'joined',
    refused: (item) => join(item, ballot, value).kind,
  };
}

/** The acceptance as at most two writes: of the second, only the condition is another. */
export async function acceptBy(
  write: (
    write: AcceptorWrite<'accepted' | 'outbid' | 'withheld'>,
  ) => Promise<Answer<'accepted' | 'outbid' | 'withheld'>>,
  each: Acceptance,
  by: Consent | undefined,
): Promise<Answer<'accepted' | 'outbid' | 'withheld'>> {
  if (by !== undefined) {
    const answer = await write(acceptWithVoteWrite(each, by));
    if (answer.kind !== 'withheld' || !isReleased(answer.acceptor, each.value.epoch)) return answer;
  }
  return write(acceptWrite(each));
}

export function beatWrite({
  epoch,
  counter,
  leaseUntilMs,
  granted,
  continues,
  follows,
  end,
}: Beat): AcceptorWrite<'lent' | 'deposed' | 'stale'> {
  const next =
    follows === undefined
      ? ''
      : follows === 0
        ? ' AND (attribute_not_exists(beatEpoch) OR beatEpoch < :epoch)'
        : ' AND beatEpoch = :epoch AND beat = :follows';
  const optional = [
    { name: 'granted', value: granted === undefined ? undefined : number(granted) },
    { name: 'continues', value: continues && { BOOL: true } },
  ];
  const set = optional.filter(({ value }) => value !== undefined);
  const gone = optional.filter(({ value }) => value === undefined).map(({ name }) => name);
  return {
    update: {
      UpdateExpression: `SET beatEpoch = :epoch, beat = :counter, leaseUntil = :lease${end ? ', endEpoch = :epoch, #end = :end' : ''}${set.map(({ name }) => `, ${name} = :${name}`).join('')}${gone.length > 0 ? ` REMOVE ${gone.join(', ')}` : ''}`,
      ConditionExpression:
        'attribute_exists(ballot) AND epoch <= :epoch AND (attribute_not_exists(vote) OR vote < :epoch) AND ' +
        `(attribute_not_exists(beatEpoch) OR beatEpoch < :epoch OR (beatEpoch = :epoch AND beat < :counter))${next}`,
      ...(end && { ExpressionAttributeNames: { '#end': 'end' } }),
      ExpressionAttributeValues: {
        ':epoch': number(epoch),
        ':counter': number(counter),
        ':lease': number(leaseUntilMs),
        ...Object.fromEntries(set.map(({ name, value }) => [`:${name}`, value!])),
        ...(follows === undefined || follows === 0 ? {} : { ':follows': number(follows) }),
        ...(end && { ':end': { S: JSON.stringify({ ...end, lsn: `${end.lsn}` }) } }),
      },
    },
    done: 'lent',
    refused: (item) => (epochOf(item) > epoch || (item.vote ?? -1) >= epoch ? 'deposed' : 'stale'),
  };
}

export function voteWrite(
  epoch: Epoch,
  counter: number | 'over',
  by?: Consent,
): AcceptorWrite<'voted' | 'beaten' | 'deposed'> {
  const still =
    counter === 'over'
      ? ''
      : counter === 0
        ? ' AND (attribute_not_exists(beatEpoch) OR beatEpoch < :vote)'
        : ' AND beatEpoch = :vote AND beat = :counter';
  const free =
    by === undefined ? 'vote <= :vote' : 'vote < :vote OR (vote = :vote AND begins_with(voteBy, :run))';
  return {
    update: {
      UpdateExpression:
        by === undefined ? 'REMOVE voteBy SET vote = :vote' : 'SET vote = :vote, voteBy = :by',
      ConditionExpression: `(attribute_not_exists(epoch) OR epoch <= :vote) AND (attribute_not_exists(vote) OR ${free})${still}`,
      ExpressionAttributeValues: {
        ':vote': number(epoch),
        ...(by === undefined ? {} : { ':by': { S: by }, ':run': { S: runOf(by) } }),
        ...(counter === 'over' || counter === 0 ? {} : { ':counter': number(counter) }),
      },
    },
    done: 'voted',
    refused: (item) => (epochOf(item) > epoch || (item.vote ?? -1) > epoch ? 'deposed' : 'beaten'),
  };
}

export function unvoteWrite(epoch: Epoch, by?: Consent): AcceptorWrite<'restored' | 'deposed'> {
  const own = by === undefined ? 'attribute_not_exists(voteBy)' : 'voteBy = :by';
  return {
    update: {
      UpdateExpression: 'REMOVE vote, voteBy',
      ConditionExpression: `(attribute_not_exists(epoch) OR epoch <= :vote) AND (attribute_not_exists(vote) OR (vote = :vote AND ${own}))`,
      ExpressionAttributeValues: {
        ':vote': number(epoch),
        ...(by === undefined ? {} : { ':by': { S: by } }),
      },
    },
    done: 'restored',
    refused: () => 'deposed',
  };
}

export function drawWrite({ epoch, count, granted }: Draw): AcceptorWrite<'drawn' | 'spent' | 'deposed'> {
  const left = granted - count;
  const fits = left < 0 ? 'drawn <= :left' : '(attribute_not_exists(drawn) OR drawn <= :left)';
  return {
    update: {
      UpdateExpression: 'ADD drawn :count',
      ConditionExpression: `epoch = :epoch AND beatEpoch = :epoch AND (attribute_not_exists(vote) OR vote < :epoch) AND granted >= :granted AND ${fits}`,
      ExpressionAttributeValues: {
        ':epoch': number(epoch),
        ':count': number(count),
        ':left': number(left),
        ':granted': number(granted),
      },
    },
    done: 'drawn',
    refused: (item) => draw(item, { epoch, count, granted }).kind,
    adds: true,
  };
}

function number(value: number): AttributeValue {
  return { N: `${value}` };
}

const stored = z.string().transform(Number);
const region = z.string().transform(parseRegionId);

/** What a later release has added to the register goes through every change that this one makes. */
const registerSchema = z.looseObject({
  epoch: z.number().transform(parseEpoch),
  phase: z.enum(['leading', 'failing-over', 'switching-over']),
  leader: region,
  coordinator: region,
  run: z.string(),
  successor: region.exactOptional(),
  led: z.number().transform(parseEpoch).exactOptional(),
  leadsFrom: z.string().exactOptional(),
  cooldownUntilMs: z.number(),
  paused: z.object({ by: z.string(), reason: z.string() }).exactOptional(),
});

const endSchema = z.object({
  lsn: z.string().transform(parseLsn),
  commitMs: z.number(),
  beyond: z.number().exactOptional(),
});

/** The acceptor that an item holds. Throws STORED_ITEM_INVALID. */
export function readAcceptor(item: Readonly<SdkItem> | undefined): Acceptor {
  return item === undefined ? NO_ACCEPTOR : readStored(item, acceptorOf);
}

function acceptorOf(item: Readonly<SdkItem>): Acceptor {
  const { promised, ballot, value, vote, voteBy, drawn } = item;
  const { beatEpoch, beat, leaseUntil, granted, continues, endEpoch, end } = item;
  return {
    promised: (promised?.S ?? BALLOT_ZERO) as Ballot,
    ...(ballot?.S !== undefined && {
      accepted: { ballot: ballot.S as Ballot, value: registerSchema.parse(JSON.parse(value?.S ?? '')) },
    }),
    ...(vote?.N !== undefined && { vote: parseEpoch(vote.N) }),
    ...(voteBy?.S !== undefined && { voteBy: voteBy.S as Consent }),
    ...(drawn?.N !== undefined && { drawn: stored.parse(drawn.N) }),
    ...(beatEpoch?.N !== undefined && {
      beat: {
        epoch: parseEpoch(beatEpoch.N),
        counter: stored.parse(beat?.N),
        leaseUntilMs: stored.parse(leaseUntil?.N),
        ...(granted?.N !== undefined && { granted: stored.parse(granted.N) }),
        ...(continues?.BOOL === true && { continues: true }),
      },
    }),
    ...(end?.S !== undefined && {
      leaderEnd: { epoch: parseEpoch(endEpoch?.N ?? ''), end: endSchema.parse(JSON.parse(end.S)) },
    }),
  };
}
