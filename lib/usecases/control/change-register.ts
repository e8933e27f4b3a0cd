import {
  type Acceptor,
  type Answer,
  BALLOT_ZERO,
  type Ballot,
  ballotAfter,
  type Consent,
  majorityOf,
} from '#lib/domain/control/acceptor.ts';
import type { Change, Register } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { AcceptorStore, Acceptors } from '#lib/ports/acceptor-store.ts';
import { type Answers, countOf, gather, type Last } from '#lib/usecases/control/gather.ts';

/** Proposals that one change may lose to rivals. */
const MAX_TRIES = 8;
/** Longest pause between two proposals, ms; grows with each. */
const PAUSE_MS = 60;
/** How long the own Region may take to say which ballot it has promised, ms. */
const NEARBY_MS = 50;

export type RegisterDeps = {
  readonly acceptors: Acceptors;
  readonly region: RegionId;
  /** A short random word, new with each call. */
  readonly chance: () => string;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Resolves after `ms`. */
  readonly sleep: (ms: number) => Promise<void>;
};

/**
 * A change whose first phase is over: a majority has promised to hear no lower ballot, and said what it has accepted. It
 * keeps: whatever happens until the second phase outbids it. Good for one change.
 */
export type Begun = { readonly ballot: Ballot; readonly promises: Answers<Answer<'promised' | 'outbid'>> };

export type ChangeOptions = {
  readonly begun?: Begun;
  /** The leader of the epoch before consents to the change: see `accept` in domain/control/acceptor.ts. */
  readonly by?: Consent;
  /** Called once the own Region has accepted it by consent: the epoch before is over then, whatever becomes of the change. */
  readonly onOver?: () => void;
  /**
   * Called with the first phase of this proposer's next change, where it came with the acceptances of this one by consent (the
   * one-round-trip optimization of the CASPaxos paper).
   */
  readonly onward?: (begun: Begun) => void;
};

/** The first phase of a change that is not known yet: one round trip less once it is. Throws REGISTER_UNAVAILABLE. */
export async function beginChange(deps: RegisterDeps): Promise<Begun> {
  return firstPhase(deps, await promisedNearby(deps), new Set());
}

/**
 * One change of the group's register by CASPaxos (Rystsov, "CASPaxos: Replicated State Machines without logs", 2018):
 * learn the value of a majority under a new ballot, change it, have a majority accept the result. `change` may be
 * called more than once, and must hold for a value that it has made itself.
 *
 * Throws REGISTER_UNAVAILABLE without an answer from a majority, REGISTER_CONTENDED after too many lost races, and
 * GROUP_NOT_FOUNDED if the group has no leader yet.
 */
export async function changeRegister(
  deps: RegisterDeps,
  change: (register: Register) => Change,
  { begun, by, onOver, onward }: ChangeOptions = {},
): Promise<Change> {
  const { members } = deps.acceptors;
  const need = majorityOf(members.length);
  let highest = begun?.ballot ?? (await promisedNearby(deps));
  // Regions whose accepted value was too far ahead of the others to be completed: any majority will do without them.
  const ahead = new Set<RegionId>();
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const { ballot, promises } =
      tries === 0 && begun !== undefined ? begun : await firstPhase(deps, highest, ahead);
    highest = highestOf(ballot, promises);
    const heard = [...promises].filter(([at, answer]) => isHeard(answer) && !ahead.has(at));
    const accepted = latest(heard.map(([, { acceptor }]) => acceptor));
    if (heard.length >= need && accepted !== undefined) {
      const changed = change(accepted);
      // A refusal too stands only if the value that it rests on is a majority's: `register` is that value.
      const value = changed.register;
      // A consent is to this change alone, not to what somebody else has made of the register.
      const consent = changed.kind === 'changed' ? by : undefined;
      const next = onward && consent && ballotAfter(ballot, deps.region, deps.chance());
      const answers = await gather(
        deps,
        consent === undefined
          ? (acceptor) => acceptor.accept(ballot, value)
          : acceptingBy(deps, { ballot, next, value }, consent, onOver),
        (each) =>
          countOf(each, isAccepted) >= need ||
          (each.size >= need && countOf(each, ({ kind }) => kind === 'outbid') > 0),
        { last: lastOf(value, (each) => countOf(each, isAccepted) >= need - 1) },
      );
      highest = highestOf(highest, answers);
      if (countOf(answers, isAccepted) >= need) {
        if (next !== undefined) onward?.({ ballot: next, promises: promisedBy(answers) });
        return changed;
      }
      const withheld = countOf(answers, (each) => each.kind === 'withheld' && holds(each)) > 0;
      if (withheld && changed.kind === 'changed' && accepted.epoch !== value.epoch) {
        return { kind: 'withheld', register: accepted };
      }
      if (withheld) {
        for (const [at, { acceptor }] of heard) {
          if (acceptor.accepted?.value.epoch === value.epoch) ahead.add(at);
        }
        if (members.length - ahead.size < need) ahead.clear();
      }
    }
    await deps.sleep(deps.random() * PAUSE_MS * (tries + 1));
  }
  throw new UnderstudyError(
    'REGISTER_CONTENDED',
    `a change of the register lost ${MAX_TRIES} races`,
    'Try again; somebody else is changing it at the same time.',
  );
}

/** The register in force, by a majority. Throws as `changeRegister` does. */
export async function readRegister(deps: RegisterDeps): Promise<Register> {
  return (await changeRegister(deps, keep)).register;
}

/** Changes nothing: what is read is the value in force, and a value that was left half accepted is completed. */
export function keep(register: Register): Change {
  return { kind: 'changed', register };
}

function isAccepted({ kind }: Answer<string>): boolean {
  return kind === 'accepted';
}

/**
 * The Region that a value names the leader goes by what its own item says, so that takes the value as the one that makes a
 * majority complete, once the others are `enough` for that. What it reads there was decided, whatever they hear later.
 */
export function lastOf<T>({ leader, phase }: Register, enough: Last<T>['after']): Last<T> | undefined {
  return phase === 'leading' ? { region: leader, after: enough } : undefined;
}

/**
 * The leader's own acceptor first, which its own vote releases: from then on nobody can take that vote back. The others
 * follow a consent that stands, however late they hear of it.
 */
function acceptingBy(
  { acceptors, region }: RegisterDeps,
  {
    ballot,
    next,
    value,
  }: { readonly ballot: Ballot; readonly next: Ballot | undefined; readonly value: Register },
  consent: Consent,
  onOver: (() => void) | undefined,
): (acceptor: AcceptorStore, at: RegionId) => ReturnType<AcceptorStore['accept']> {
  const own = acceptors.of(region).accept(ballot, value, undefined, next);
  return async (acceptor, at) => {
    const { kind } = await own;
    if (at === region) {
      if (kind === 'accepted') onOver?.();
      return own;
    }
    return acceptor.accept(ballot, value, kind === 'accepted' ? consent : undefined, next);
  };
}

/** Whoever has accepted a value with a promise of the next ballot. */
function promisedBy(answers: Answers<Answer<string>>): Begun['promises'] {
  const accepted = [...answers].filter(([, answer]) => isAccepted(answer));
  return new Map(accepted.map(([at, { acceptor }]) => [at, { kind: 'promised', acceptor }]));
}

/** @param ahead Regions whose promise does not count. */
async function firstPhase(deps: RegisterDeps, above: Ballot, ahead: ReadonlySet<RegionId>): Promise<Begun> {
  const { members } = deps.acceptors;
  const need = majorityOf(members.length);
  const ballot = ballotAfter(above, deps.region, deps.chance());
  const promises = await gather(
    deps,
    (acceptor) => acceptor.prepare(ballot),
    (each) =>
      countOf(each, (answer, at) => isHeard(answer) && !ahead.has(at)) >= need ||
      (each.size >= need && countOf(each, isOutbid) > 0),
  );
  if (promises.size < need) throw unavailable(promises.size, members.length);
  if (countOf(promises, holds) >= need || countOf(promises, isOutbid) > 0) return { ballot, promises };
  if (countOf(promises, holds) === 0) throw notFounded();
  throw forgotten(promises, members.length);
}

type Promised = Answer<'promised' | 'outbid'>;

/** A Region that holds no value may have forgotten one: its promise is not counted. */
function isHeard(answer: Promised): boolean {
  return answer.kind === 'promised' && holds(answer);
}

function isOutbid({ kind }: Promised): boolean {
  return kind === 'outbid';
}

/** The ballot that the own Region has promised, which is mostly the highest: to begin above it saves a lost round. */
async function promisedNearby({ acceptors, region, sleep }: RegisterDeps): Promise<Ballot> {
  if (!acceptors.members.includes(region)) return BALLOT_ZERO;
  const asked = acceptors.of(region).read();
  return Promise.race([
    asked.then(({ promised }) => promised).catch(() => BALLOT_ZERO),
    sleep(NEARBY_MS).then(() => BALLOT_ZERO),
  ]);
}

/**
 * What the acceptors say without being moved: the value of the highest ballot that a majority is known to have
 * accepted, if there is one. Cheap, and may be late; never ahead of what was agreed.
 */
export async function glanceAtRegister(
  deps: Pick<RegisterDeps, 'acceptors' | 'sleep'>,
): Promise<Register | undefined> {
  const need = majorityOf(deps.acceptors.members.length);
  const agreed = (answers: Answers<Acceptor>): Register | undefined => {
    const ballots = new Map<Ballot, { count: number; value: Register }>();
    for (const { accepted } of answers.values()) {
      if (accepted === undefined) continue;
      const known = ballots.get(accepted.ballot);
      ballots.set(accepted.ballot, { count: (known?.count ?? 0) + 1, value: accepted.value });
    }
    return [...ballots.values()].find((each) => each.count >= need)?.value;
  };
  const answers = await gather(
    deps,
    (acceptor) => acceptor.read(),
    (each) => agreed(each) !== undefined,
  );
  return agreed(answers);
}

/** Of the values that acceptors hold, the one of the highest ballot. */
export function latest(acceptors: readonly Acceptor[]): Register | undefined {
  let newest: Acceptor['accepted'];
  for (const { accepted } of acceptors) {
    if (accepted && (newest === undefined || accepted.ballot > newest.ballot)) newest = accepted;
  }
  return newest?.value;
}

/** The highest ballot that one of these has promised, or the one given. */
export function highestOf(ballot: Ballot, answers: Answers<{ readonly acceptor: Acceptor }>): Ballot {
  let highest = ballot;
  for (const { acceptor } of answers.values()) if (acceptor.promised > highest) highest = acceptor.promised;
  return highest;
}

/** Whether a Region holds any value of the register. */
export function holds({ acceptor }: { readonly acceptor: Acceptor }): boolean {
  return acceptor.accepted !== undefined;
}

/** Some Regions hold nothing of the register, and too few of the others have answered to do without them. */
export function forgotten(
  answers: Answers<{ readonly acceptor: Acceptor }>,
  members: number,
): UnderstudyError {
  const blank = [...answers].filter(([, answer]) => !holds(answer)).map(([at]) => at);
  return new UnderstudyError(
    'REGISTER_FORGOTTEN',
    `${blank.join(', ')} of ${members} Regions: nothing of the register is held there, and only ${countOf(answers, holds)} that hold it answer`,
    'Bring back the Regions that do not answer, then take these in: understudy found --leader REGION.',
  );
}

export function unavailable(answered: number, members: number): UnderstudyError {
  return new UnderstudyError(
    'REGISTER_UNAVAILABLE',
    `${answered} of ${members} Regions answered, which is no majority`,
    'Wait until more Regions can be reached; nothing was changed.',
  );
}

function notFounded(): UnderstudyError {
  return new UnderstudyError(
    'GROUP_NOT_FOUNDED',
    'the group has no leader yet',
    'Name its first leader: understudy found --leader REGION.',
  );
}
