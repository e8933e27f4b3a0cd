import { type DynamoDBClient, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import {
  type AcceptorWrite,
  acceptBy,
  beatWrite,
  drawWrite,
  joinWrite,
  prepareWrite,
  readAcceptor,
  unvoteWrite,
  voteWrite,
} from '#lib/aws/acceptor-item.ts';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import { KNOWN_VERSION } from '#lib/aws/stored-item.ts';
import type { Acceptor, Answer, Ballot, Beat, Consent, Draw } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';

/** Item `<group>#acceptor` of a Region's control table: see acceptor-item.ts. */
export class AwsAcceptor implements AcceptorStore {
  readonly #dynamodb: DynamoDBClient;
  readonly #item: { readonly TableName: string; readonly Key: { readonly id: { readonly S: string } } };

  constructor(deps: { dynamodb: DynamoDBClient; group: GroupId; table: string }) {
    this.#dynamodb = deps.dynamodb;
    this.#item = { TableName: deps.table, Key: { id: { S: `${deps.group}#acceptor` } } };
  }

  async read(): Promise<Acceptor> {
    const { Item } = await this.#dynamodb.send(new GetItemCommand({ ...this.#item, ConsistentRead: true }));
    return readAcceptor(Item);
  }

  prepare(ballot: Ballot) {
    return this.#write(prepareWrite(ballot));
  }

  accept(ballot: Ballot, value: Register, by?: Consent) {
    return acceptBy((write) => this.#write(write), ballot, value, by);
  }

  join(ballot: Ballot, value: Register) {
    return this.#write(joinWrite(ballot, value));
  }

  beat(beat: Beat) {
    return this.#write(beatWrite(beat));
  }

  vote(epoch: Epoch, counter: number | 'over', by?: Consent) {
    return this.#write(voteWrite(epoch, counter, by));
  }

  unvote(epoch: Epoch, by?: Consent) {
    return this.#write(unvoteWrite(epoch, by));
  }

  draw(draw: Draw) {
    return this.#write(drawWrite(draw));
  }

  async #write<K extends string>({ update, done, refused }: AcceptorWrite<K>): Promise<Answer<K>> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          ...this.#item,
          ...update,
          ConditionExpression: `${KNOWN_VERSION} AND (${update.ConditionExpression})`,
          ReturnValues: 'ALL_NEW',
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      ),
    );
    if (outcome.kind === 'done') return { kind: done, acceptor: readAcceptor(outcome.result.Attributes) };
    const acceptor = readAcceptor(outcome.item);
    return { kind: refused(acceptor), acceptor };
  }
}
