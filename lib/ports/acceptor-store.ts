import type { Acceptor, Answer, Ballot, Beat, Consent, Draw } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/**
 * The acceptor of one Region: each method is one conditional write of one item, with the rule of the function of the
 * same name in domain/control/acceptor.ts. A throw leaves the outcome unknown; every call may be made again. A beat
 * that is sent twice is `stale` the second time, even if it was taken the first: nobody may count a lease from the
 * later one.
 */
export interface AcceptorStore {
  /** A strongly consistent read. */
  read(): Promise<Acceptor>;
  prepare(ballot: Ballot): Promise<Answer<'promised' | 'outbid'>>;
  accept(
    ballot: Ballot,
    value: Register,
    by?: Consent,
    next?: Ballot,
  ): Promise<Answer<'accepted' | 'outbid' | 'withheld'>>;
  join(ballot: Ballot, value: Register): Promise<Answer<'joined' | 'known' | 'outbid'>>;
  beat(beat: Beat): Promise<Answer<'lent' | 'deposed' | 'stale'>>;
  vote(epoch: Epoch, counter: number | 'over', by?: Consent): Promise<Answer<'voted' | 'beaten' | 'deposed'>>;
  unvote(epoch: Epoch, by?: Consent): Promise<Answer<'restored' | 'deposed'>>;
  /** A draw that is made twice is drawn twice. */
  draw(draw: Draw): Promise<Answer<'drawn' | 'spent' | 'deposed'>>;
}

/** The acceptors of a group, as they are reached from here. */
export type Acceptors = {
  readonly members: readonly RegionId[];
  of(region: RegionId): AcceptorStore;
};
