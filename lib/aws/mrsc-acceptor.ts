import {
  type DynamoDBClient,
  ReplicatedWriteConflictException,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { type AcceptorWrite, readAcceptor } from '#lib/aws/acceptor-item.ts';
import { conditional, sitOut } from '#lib/aws/dynamo-failure.ts';
import { ItemAcceptor } from '#lib/aws/item-acceptor.ts';
import { KNOWN_VERSION } from '#lib/aws/stored-item.ts';
import type { Answer } from '#lib/domain/control/acceptor.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';

/** Conflicts with a write in another Region that one call sits out before it gives up. */
const MAX_CONFLICTS = 8;

type Deps = {
  /** Client of any Region of the table, best of the caller's own: one replica is as good as another. */
  readonly dynamodb: DynamoDBClient;
  readonly group: GroupId;
  /** A global table of multi-Region strong consistency. */
  readonly table: string;
  /** Whose acceptor it is. */
  readonly region: RegionId;
  /** An id that no other call has. */
  readonly newNonce: () => string;
};

/**
 * Item `<group>#acceptor#<region>` of one MRSC global table, which reads and writes as one table in all of its Regions.
 * `nonce` is that of the call that wrote it last. The majority that a call needs is that of the table's Regions, whoever's
 * acceptor is asked.
 */
export class MrscAcceptor extends ItemAcceptor {
  readonly #newNonce: () => string;

  constructor({ dynamodb, group, newNonce, region, table }: Deps) {
    super(dynamodb, table, `${group}#acceptor#${region}`);
    this.#newNonce = newNonce;
  }

  protected async write<K extends string>({
    update,
    done,
    refused,
    adds,
  }: AcceptorWrite<K>): Promise<Answer<K>> {
    const nonce = this.#newNonce();
    const command = new UpdateItemCommand({
      ...this.item,
      ...update,
      UpdateExpression: withNonce(update.UpdateExpression!),
      ConditionExpression: `${KNOWN_VERSION} AND (${update.ConditionExpression})${adds === true ? ONCE : ''}`,
      ExpressionAttributeValues: { ...update.ExpressionAttributeValues, ':nonce': { S: nonce } },
      ReturnValues: 'ALL_NEW',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    });
    const outcome = await conditional(() => withstanding(() => this.dynamodb.send(command)));
    if (outcome.kind === 'done') return { kind: done, acceptor: readAcceptor(outcome.result.Attributes) };
    const acceptor = readAcceptor(outcome.item);
    // Refused by what an earlier try of this very call has written, by us or inside the client.
    const mine = outcome.item?.nonce?.S === nonce;
    return { kind: mine ? done : refused(acceptor), acceptor };
  }
}

/** A try whose outcome was lost must not add again. */
const ONCE = ' AND (attribute_not_exists(nonce) OR nonce <> :nonce)';

function withNonce(expression: string): string {
  const set = 'SET nonce = :nonce';
  return expression.includes('SET ') ? expression.replace('SET ', `${set}, `) : `${set} ${expression}`;
}

/** Tries again what met a write in another Region. Whether it took effect is not known. */
async function withstanding<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof ReplicatedWriteConflictException) || tries === MAX_CONFLICTS) throw error;
      await sitOut(tries);
    }
  }
}
