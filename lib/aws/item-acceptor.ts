import { type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
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
import type { Acceptor, Answer, Ballot, Beat, Consent, Draw } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';

/** An acceptor that is one item of a table: see acceptor-item.ts. How the item is written depends on the table. */
export abstract class ItemAcceptor implements AcceptorStore {
  protected readonly dynamodb: DynamoDBClient;
  protected readonly item: {
    readonly TableName: string;
    readonly Key: { readonly id: { readonly S: string } };
  };

  /** @param id the item's key. */
  constructor(dynamodb: DynamoDBClient, table: string, id: string) {
    this.dynamodb = dynamodb;
    this.item = { TableName: table, Key: { id: { S: id } } };
  }

  async read(): Promise<Acceptor> {
    const { Item } = await this.dynamodb.send(new GetItemCommand({ ...this.item, ConsistentRead: true }));
    return readAcceptor(Item);
  }

  prepare(ballot: Ballot) {
    return this.write(prepareWrite(ballot));
  }

  accept(ballot: Ballot, value: Register, by?: Consent, next?: Ballot) {
    return acceptBy((write) => this.write(write), { ballot, next, value }, by);
  }

  join(ballot: Ballot, value: Register) {
    return this.write(joinWrite(ballot, value));
  }

  beat(beat: Beat) {
    return this.write(beatWrite(beat));
  }

  vote(epoch: Epoch, counter: number | 'over', by?: Consent) {
    return this.write(voteWrite(epoch, counter, by));
  }

  unvote(epoch: Epoch, by?: Consent) {
    return this.write(unvoteWrite(epoch, by));
  }

  draw(draw: Draw) {
    return this.write(drawWrite(draw));
  }

  protected abstract write<K extends string>(write: AcceptorWrite<K>): Promise<Answer<K>>;
}
