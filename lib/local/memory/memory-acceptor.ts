import {
  type Acceptor,
  accept,
  type Ballot,
  type Beat,
  beat,
  type Consent,
  type Draw,
  draw,
  join,
  NO_ACCEPTOR,
  prepare,
  unvote,
  vote,
} from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';

/** An acceptor in memory: the pure transitions, one at a time. */
export class MemoryAcceptor implements AcceptorStore {
  #item: Acceptor = NO_ACCEPTOR;

  async read() {
    return this.#item;
  }

  async prepare(ballot: Ballot) {
    return this.#keep(prepare(this.#item, ballot));
  }

  async accept(ballot: Ballot, value: Register, by?: Consent, next?: Ballot) {
    return this.#keep(accept(this.#item, ballot, value, by, next));
  }

  async join(ballot: Ballot, value: Register) {
    return this.#keep(join(this.#item, ballot, value));
  }

  async beat(sent: Beat) {
    return this.#keep(beat(this.#item, sent));
  }

  async vote(epoch: Epoch, counter: number | 'over', by?: Consent) {
    return this.#keep(vote(this.#item, epoch, counter, by));
  }

  async unvote(epoch: Epoch, by?: Consent) {
    return this.#keep(unvote(this.#item, epoch, by));
  }

  async draw(by: Draw) {
    return this.#keep(draw(this.#item, by));
  }

  #keep<A extends { readonly acceptor: Acceptor }>(answer: A): A {
    this.#item = answer.acceptor;
    return answer;
  }
}
