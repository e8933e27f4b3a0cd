import type { Register } from '#lib/domain/control/register.ts';
import { EPOCH_ZERO, type Epoch, type Lsn } from '#lib/domain/lsn.ts';

declare const ballotBrand: unique symbol;
/**
 * Number of a proposal: orders as text. A round, the proposer, and a word of chance that keeps two processes of one
 * proposer apart.
 */
export type Ballot = string & { readonly [ballotBrand]: true };

export const BALLOT_ZERO = '' as Ballot;

/** A ballot above `above`. */
export function ballotAfter(above: Ballot, proposer: string, chance: string): Ballot {
  const round = above === BALLOT_ZERO ? 0 : Number(above.slice(0, 12));
  return `${String(round + 1).padStart(12, '0')}#${proposer}#${chance}` as Ballot;
}

/**
 * The heartbeat of an epoch: of its leader, or of the coordinator that is about to give it one. `counter` begins at
 * 1 with each epoch and only grows.
 */
export type Beat = {
  readonly epoch: Epoch;
  readonly counter: number;
  /** Until when the leader held the lease when it sent this beat, Unix ms by its clock; 0 for no lease. */
  readonly leaseUntilMs: number;
  /** Writes that the applications of the leader's Region may have drawn in all; absent where nobody counts them. */
  readonly granted?: number;
  /** The leader's Region goes on writing when its lease is over: `onLeaseLost: continue`. */
  readonly continues?: true;
  /** The beat is `stale` if it is not the next after the one of this counter: another process has beaten meanwhile. */
  readonly follows?: number;
  /** Where the leader's log ended then: what may be lost is reckoned from it. */
  readonly end?: BeatEnd;
};

export type BeatEnd = {
  readonly lsn: Lsn;
  /** Commit time of the newest record, Unix ms. */
  readonly commitMs: number;
  /**
   * The most writes that the leader's log did not hold then and that may be acknowledged before a majority takes
   * another beat. Absent where nobody can tell.
   */
  readonly beyond?: number;
};

/**
 * A Region's voice in a group: acceptor of the register (CASPaxos: Rystsov, 2018), the last beat that it took, and
 * its vote. All three are one item, so that each rule below is one conditional write.
 */
export type Acceptor = {
  readonly promised: Ballot;
  readonly accepted?: { readonly ballot: Ballot; readonly value: Register };
  /** The newest beat that was taken. */
  readonly beat?: Omit<Beat, 'end' | 'follows'>;
  /** Where a leader's log ended by the newest beat that said so: it outlives the epoch. */
  readonly leaderEnd?: { readonly epoch: Epoch; readonly end: BeatEnd };
  /** The epoch against which this Region has voted: it lends that epoch's leader no lease. */
  readonly vote?: Epoch;
  /** Who cast the vote, if it was a switchover and not this Region's own sentinel: only its own word takes it back. */
  readonly voteBy?: Consent;
  /** Writes that the applications of this Region have drawn, ever, from the leases that it was lent. */
  readonly drawn?: number;
};

/**
 * A switchover's mark on the votes that it casts: `<run>/<nonce>`. While the leader's vote bears it, the leader has held no
 * lease since it was cast, as a mark that is gone never comes back.
 */
export type Consent = `${string}/${string}`;

/** The run that a mark is of, with the slash that ends it. */
export function runOf(by: Consent): `${string}/` {
  return by.slice(0, by.lastIndexOf('/') + 1) as `${string}/`;
}

export const NO_ACCEPTOR: Acceptor = { promised: BALLOT_ZERO };

/** Refused writes leave the item as it was; `acceptor` is then the item that stood in the way. */
export type Answer<K extends string> = { readonly kind: K; readonly acceptor: Acceptor };

/** Phase 1: no lower ballot is accepted from now on. */
export function prepare(item: Acceptor, ballot: Ballot): Answer<'promised' | 'outbid'> {
  if (item.promised > ballot) return { kind: 'outbid', acceptor: item };
  return { kind: 'promised', acceptor: { ...item, promised: ballot } };
}

/** Has a higher ballot been promised than that of an acceptance? Its own next one is none: it is the same acceptance again. */
export function isOutbid({ accepted, promised }: Acceptor, ballot: Ballot, next = ballot): boolean {
  return promised > ballot && (promised !== next || accepted?.ballot !== ballot);
}

/**
 * Phase 2. A value of a higher epoch than the accepted one is taken only while this Region's vote against the epoch
 * before it, or a later one, is in force (`withheld` if not): so the majority that accepts an epoch has withdrawn its
 * grant from the one before. A Region that holds no value takes none: see `join`.
 *
 * @param by the leader of the epoch before has given up its lease to this switchover: the vote is cast with it.
 * @param next the same proposer's next ballot, which is promised along with it: its next change needs no first phase.
 */
export function accept(
  item: Acceptor,
  ballot: Ballot,
  value: Register,
  by?: Consent,
  next = ballot,
): Answer<'accepted' | 'outbid' | 'withheld'> {
  if (isOutbid(item, ballot, next)) return { kind: 'outbid', acceptor: item };
  const before = (value.epoch - 1) as Epoch;
  const voted = by === undefined ? item : vote(item, before, 'over', by).acceptor;
  if (!isReleased(voted, value.epoch)) return { kind: 'withheld', acceptor: item };
  return { kind: 'accepted', acceptor: { ...voted, promised: next, accepted: { ballot, value } } };
}

/** Whether a value of this epoch may be accepted: this Region lends nothing to the leader of the epoch before it. */
export function isReleased(item: Acceptor, epoch: Epoch): boolean {
  return item.accepted !== undefined && (epochOf(item) >= epoch || (item.vote ?? -1) >= epoch - 1);
}

/**
 * Phase 2 where there is no value yet (`known` if there is one): at the founding of a group, and where an operator takes
 * in a Region that is new, or has forgotten what it held. Until then it lends nothing and its promise counts for nothing:
 * a control table that was lost and made anew must not pass for one that has promised nobody anything.
 */
export function join(item: Acceptor, ballot: Ballot, value: Register): Answer<'joined' | 'known' | 'outbid'> {
  const { accepted } = item;
  if (accepted !== undefined && accepted.ballot !== ballot) return { kind: 'known', acceptor: item };
  if (item.promised > ballot) return { kind: 'outbid', acceptor: item };
  return { kind: 'joined', acceptor: { ...item, promised: ballot, accepted: { ballot, value } } };
}

/**
 * A beat of the leader of `epoch`: taken, it lends the lease. Refused where this Region has voted against the epoch
 * or knows a higher one (`deposed`), and where the counter does not grow, or nothing is known (`stale`).
 */
export function beat(item: Acceptor, beat: Beat): Answer<'lent' | 'deposed' | 'stale'> {
  const { epoch, counter } = beat;
  if (epochOf(item) > epoch || (item.vote ?? -1) >= epoch) return { kind: 'deposed', acceptor: item };
  if (item.accepted === undefined) return { kind: 'stale', acceptor: item };
  if (item.beat && (item.beat.epoch > epoch || (item.beat.epoch === epoch && item.beat.counter >= counter))) {
    return { kind: 'stale', acceptor: item };
  }
  const { end, follows, ...rest } = beat;
  if (follows !== undefined && counterOf(item, epoch) !== follows) return { kind: 'stale', acceptor: item };
  const leaderEnd = end === undefined ? {} : { leaderEnd: { epoch, end } };
  return { kind: 'lent', acceptor: { ...item, beat: rest, ...leaderEnd } };
}

export type Draw = {
  readonly epoch: Epoch;
  /** Writes, at least 1. */
  readonly count: number;
  /** As a beat of the epoch says; an old one grants less. */
  readonly granted: number;
};

/**
 * An application of the leader's Region draws writes from the lease before it begins them, so that nobody can
 * acknowledge more than the leader has told the others. `spent`: the leader has to grant more first.
 */
export function draw(item: Acceptor, { epoch, count, granted }: Draw): Answer<'drawn' | 'spent' | 'deposed'> {
  const lends = epochOf(item) === epoch && item.beat?.epoch === epoch && (item.vote ?? -1) < epoch;
  if (!lends) return { kind: 'deposed', acceptor: item };
  const drawn = (item.drawn ?? 0) + count;
  if (drawn > granted || granted > (item.beat?.granted ?? 0)) return { kind: 'spent', acceptor: item };
  return { kind: 'drawn', acceptor: { ...item, drawn } };
}

/** The counter of the newest beat of `epoch` that was taken; 0 for none. */
export function counterOf(item: Acceptor, epoch: Epoch): number {
  return item.beat?.epoch === epoch ? item.beat.counter : 0;
}

/**
 * A vote against `epoch`, by a Region that has watched `counter` stand still: refused if it has moved (`beaten`).
 * `over` depends on no counter: the epoch's leader itself has given up its lease, or a majority is known to have
 * accepted a higher epoch.
 *
 * @param by the switchover that asks for the vote: refused where it is cast already, by the Region or by another run.
 */
export function vote(
  item: Acceptor,
  epoch: Epoch,
  counter: number | 'over',
  by?: Consent,
): Answer<'voted' | 'beaten' | 'deposed'> {
  if (epochOf(item) > epoch || (item.vote ?? -1) > epoch) return { kind: 'deposed', acceptor: item };
  if (counter !== 'over' && (counterOf(item, epoch) !== counter || (item.beat?.epoch ?? 0) > epoch)) {
    return { kind: 'beaten', acceptor: item };
  }
  const { voteBy, ...rest } = item;
  if (by === undefined) return { kind: 'voted', acceptor: { ...rest, vote: epoch } };
  const taken = item.vote === epoch && (voteBy === undefined || runOf(voteBy) !== runOf(by));
  if (taken) return { kind: 'beaten', acceptor: item };
  return { kind: 'voted', acceptor: { ...rest, vote: epoch, voteBy: by } };
}

/**
 * Takes a vote back: the epoch's leader may be lent to again.
 *
 * @param by who cast it, as `voteBy` says: the vote of somebody else stays.
 */
export function unvote(item: Acceptor, epoch: Epoch, by?: Consent): Answer<'restored' | 'deposed'> {
  const { vote: cast = epoch, voteBy, ...rest } = item;
  const stays = item.vote !== undefined && voteBy !== by;
  if (epochOf(item) > epoch || cast !== epoch || stays) return { kind: 'deposed', acceptor: item };
  return { kind: 'restored', acceptor: rest };
}

/** The highest epoch that this Region has accepted. */
export function epochOf(item: Acceptor): Epoch {
  return item.accepted?.value.epoch ?? EPOCH_ZERO;
}

/** Regions that make a majority of `members`. */
export function majorityOf(members: number): number {
  return Math.floor(members / 2) + 1;
}
