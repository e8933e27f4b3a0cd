import {
  type Acceptor,
  type Answer,
  BALLOT_ZERO,
  ballotAfter,
  majorityOf,
} from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import {
  forgotten,
  highestOf,
  holds,
  lastOf,
  latest,
  type RegisterDeps,
  unavailable,
} from '#lib/usecases/control/change-register.ts';
import { type Answers, countOf, gather, type Last } from '#lib/usecases/control/gather.ts';

const TRIES = 10;
const PAUSE_MS = 100;
/** How long a Region may take to answer, ms. */
const PATIENCE_MS = 5_000;

/**
 * Gives a group its first leader; a group that has one keeps it, and the Regions that hold nothing of its register, as
 * they are new or have lost their control table, get what the others have agreed on. An operator's act: a Region
 * cannot know whether it has forgotten something.
 *
 * So many of the others have to promise and accept first that every majority which the forgetful one may have been part of
 * has a member among them: what it has accepted is known there, and what it has promised nobody, nobody else can
 * complete. With three Regions, both of the others. A group is founded by all of its Regions: one that is away may
 * know of a leader.
 *
 * Throws REGISTER_UNAVAILABLE, REGISTER_FORGOTTEN if too few of the others answer, REGISTER_CONTENDED after too many lost
 * races.
 */
export async function foundGroup(
  deps: RegisterDeps,
  first: Register,
): Promise<{ readonly register: Register; readonly joined: readonly RegionId[] }> {
  const { members } = deps.acceptors;
  let highest = BALLOT_ZERO;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const ballot = ballotAfter(highest, deps.region, deps.chance());
    const promises = await ask(deps, members, (acceptor) => acceptor.prepare(ballot));
    highest = highestOf(ballot, promises);
    if (countOf(promises, ({ kind }) => kind === 'outbid') === 0) {
      const value = agreedBy(promises, members, first);
      const holders = withValue(promises, true);
      const blank = withValue(promises, false);
      // What a Region is given that holds nothing, the others must have accepted by then.
      const enough = Math.min(enoughOf(members), holders.length);
      const accepting = (acceptor: AcceptorStore) => acceptor.accept(ballot, value);
      const accepted = await ask(deps, holders, accepting, takenBy(value, enough - 1));
      const kept = countOf(accepted, ({ kind }) => kind === 'accepted');
      if (kept >= enough) {
        const joining = (acceptor: AcceptorStore) => acceptor.join(ballot, value);
        const answers = await ask(deps, blank, joining, takenBy(value, blank.length - 1));
        const joined = blank.filter((region) => answers.get(region)?.kind === 'joined');
        if (joined.length === blank.length && kept + joined.length >= majorityOf(members.length)) {
          return { register: value, joined };
        }
        highest = highestOf(highest, answers);
      }
      highest = highestOf(highest, accepted);
    }
    await deps.sleep(PAUSE_MS);
  }
  throw new UnderstudyError(
    'REGISTER_CONTENDED',
    `the Regions did not agree on a leader in ${TRIES} tries`,
    'Try again; nothing else was done.',
  );
}

/** So many that no majority is without them, but for Regions that have forgotten that they were part of it. */
function enoughOf({ length }: readonly RegionId[]): number {
  return length - majorityOf(length) + 1;
}

/** What is to be agreed on, by those that have promised. */
function agreedBy(
  promises: Answers<Answer<'promised' | 'outbid'>>,
  members: readonly RegionId[],
  first: Register,
): Register {
  const acceptors = [...promises.values()].map(({ acceptor }) => acceptor);
  const holders = countOf(promises, holds);
  const known = latest(acceptors);
  if (known !== undefined && holders >= enoughOf(members)) return known;
  const isFounding = acceptors.every(({ accepted }) => accepted === undefined || isFirst(accepted));
  if (promises.size === members.length && isFounding) return known ?? first;
  if (holders === 0 || holders === promises.size) throw unavailable(promises.size, members.length);
  throw forgotten(promises, members.length);
}

/** Is it what a founding that broke off has left? Nobody has changed it since. */
function isFirst({ value }: NonNullable<Acceptor['accepted']>): boolean {
  const { cooldownUntilMs, epoch, paused, phase } = value;
  return epoch === 1 && phase === 'leading' && cooldownUntilMs === 0 && paused === undefined;
}

/** The Regions that hold a value, or those that hold none. */
function withValue(promises: Answers<Answer<string>>, is: boolean): readonly RegionId[] {
  return [...promises].filter(([, answer]) => holds(answer) === is).map(([region]) => region);
}

/** The Region that `value` names the leader is asked once so many of the others have taken it. */
function takenBy(value: Register, others: number): Last<Answer<string>> | undefined {
  return lastOf(
    value,
    (each) => countOf(each, ({ kind }) => kind === 'accepted' || kind === 'joined') >= others,
  );
}

/** What each of these answers, with the time that a connection across the world takes to make. */
function ask<T>(
  { acceptors, sleep }: RegisterDeps,
  members: readonly RegionId[],
  question: (acceptor: AcceptorStore) => Promise<T>,
  last?: Last<T>,
): Promise<Answers<T>> {
  const asked = { members, of: (region: RegionId) => acceptors.of(region) };
  return gather({ acceptors: asked, sleep }, question, () => false, { last, patienceMs: PATIENCE_MS });
}
