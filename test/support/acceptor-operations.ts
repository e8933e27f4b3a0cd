import fc from 'fast-check';
import {
  type Acceptor,
  accept,
  type Ballot,
  type Beat,
  ballotAfter,
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
import { founded, type Register } from '#lib/domain/control/register.ts';
import { type Epoch, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { AP, EU, US } from './memory-group.ts';

/** A call of an acceptor, by name and parameters. */
export type Operation =
  | readonly ['prepare', Ballot]
  | readonly ['accept', Ballot, Register, Consent | undefined, Ballot | undefined]
  | readonly ['join', Ballot, Register]
  | readonly ['beat', Beat]
  | readonly ['vote', Epoch, number | 'over', Consent | undefined]
  | readonly ['unvote', Epoch, Consent | undefined]
  | readonly ['draw', Draw];

/** The ballot of a round and a proposer. */
export function ballot(round: number, proposer = 'eu-west-1', chance = 'x'): Ballot {
  let at = ballotAfter('' as Ballot, proposer, chance);
  for (let i = 1; i < round; i++) at = ballotAfter(at, proposer, chance);
  return at;
}

/** What an acceptor in memory would answer: by the pure functions. */
export function answers(operations: readonly Operation[]): readonly unknown[] {
  let item: Acceptor = NO_ACCEPTOR;
  return operations.map((operation) => {
    const answer = pure(item, operation);
    item = answer.acceptor;
    return answer;
  });
}

function pure(item: Acceptor, operation: Operation) {
  switch (operation[0]) {
    case 'prepare':
      return prepare(item, operation[1]);
    case 'accept':
      return accept(item, operation[1], operation[2], operation[3], operation[4]);
    case 'join':
      return join(item, operation[1], operation[2]);
    case 'beat':
      return beat(item, operation[1]);
    case 'vote':
      return vote(item, operation[1], operation[2], operation[3]);
    case 'unvote':
      return unvote(item, operation[1], operation[2]);
    case 'draw':
      return draw(item, operation[1]);
  }
}

export function perform(store: AcceptorStore, operation: Operation) {
  switch (operation[0]) {
    case 'prepare':
      return store.prepare(operation[1]);
    case 'accept':
      return store.accept(operation[1], operation[2], operation[3], operation[4]);
    case 'join':
      return store.join(operation[1], operation[2]);
    case 'beat':
      return store.beat(operation[1]);
    case 'vote':
      return store.vote(operation[1], operation[2], operation[3]);
    case 'unvote':
      return store.unvote(operation[1], operation[2]);
    case 'draw':
      return store.draw(operation[1]);
  }
}

const epoch = fc.integer({ min: 1, max: 4 }).map((each) => parseEpoch(each));
const region = fc.constantFrom(EU, US, AP);
const anyBallot = fc
  .tuple(fc.integer({ min: 1, max: 5 }), region, fc.constantFrom('x', 'y'))
  .map(([round, proposer, chance]) => ballot(round, proposer, chance));

const anyRegister: fc.Arbitrary<Register> = fc
  .record(
    {
      epoch,
      phase: fc.constantFrom<Register['phase']>('leading', 'failing-over', 'switching-over'),
      leader: region,
      coordinator: region,
      run: fc.string({ maxLength: 8 }),
      cooldownUntilMs: fc.nat(),
      successor: region,
      led: epoch,
      paused: fc.record({ by: fc.string(), reason: fc.string() }, { noNullPrototype: true }),
    },
    {
      requiredKeys: ['epoch', 'phase', 'leader', 'coordinator', 'run', 'cooldownUntilMs'],
      noNullPrototype: true,
    },
  )
  .map((some) => ({ ...founded(some.leader, some.epoch, some.run), ...some }));

const anyBeat: fc.Arbitrary<Beat> = fc.record(
  {
    epoch,
    counter: fc.integer({ min: 1, max: 4 }),
    leaseUntilMs: fc.constantFrom(0, 1_700_000_000_000.5),
    granted: fc.nat(9),
    continues: fc.constant(true as const),
    follows: fc.nat(4),
    end: fc.record(
      {
        lsn: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((each) => parseLsn(each)),
        commitMs: fc.nat(),
        beyond: fc.nat(),
      },
      { requiredKeys: ['lsn', 'commitMs'], noNullPrototype: true },
    ),
  },
  { requiredKeys: ['epoch', 'counter', 'leaseUntilMs'], noNullPrototype: true },
);

const anyConsent = fc.constantFrom<Consent | undefined>(undefined, 'run/1', 'run/2', 'run2/1');

const anyJoin = fc.tuple(fc.constant('join' as const), anyBallot, anyRegister);

const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(fc.constant('prepare' as const), anyBallot),
  fc
    .tuple(anyBallot, anyRegister, anyConsent, fc.boolean())
    .map(
      ([at, value, by, goesOn]) =>
        ['accept', at, value, by, goesOn ? ballotAfter(at, 'eu-west-1', 'next') : undefined] as const,
    ),
  anyJoin,
  fc.tuple(fc.constant('beat' as const), anyBeat),
  fc.tuple(
    fc.constant('vote' as const),
    epoch,
    fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constant('over' as const)),
    anyConsent,
  ),
  fc.tuple(fc.constant('unvote' as const), epoch, anyConsent),
  fc.tuple(
    fc.constant('draw' as const),
    fc.record(
      { epoch, count: fc.integer({ min: 1, max: 3 }), granted: fc.nat(9) },
      { noNullPrototype: true },
    ),
  ),
);

/** Most begin where a group is founded: a Region that holds nothing does little. */
export const anyOperations: fc.Arbitrary<readonly Operation[]> = fc
  .tuple(fc.option(anyJoin, { freq: 3 }), fc.array(anyOperation, { minLength: 1, maxLength: 24 }))
  .map(([joined, rest]) => (joined === null ? rest : [joined, ...rest]));
