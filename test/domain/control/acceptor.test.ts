import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Acceptor,
  accept,
  BALLOT_ZERO,
  type Beat,
  ballotAfter,
  beat,
  counterOf,
  epochOf,
  join,
  majorityOf,
  NO_ACCEPTOR,
  prepare,
  unvote,
  vote,
} from '#lib/domain/control/acceptor.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { EPOCH_ZERO, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { answers, anyOperations, ballot } from '../../support/acceptor-operations.ts';
import { E1, E2, E3 } from '../../support/log-history.ts';
import { EU } from '../../support/memory-group.ts';

const END = { lsn: parseLsn(7), commitMs: 1_000, beyond: 5 };

function value(epoch: number, run = 'r'): Register {
  return founded(EU, parseEpoch(epoch), run);
}

/** An acceptor that has accepted epoch `epoch` under ballot 2. */
function having(epoch: number, rest: Partial<Acceptor> = {}): Acceptor {
  return { promised: ballot(2), accepted: { ballot: ballot(2), value: value(epoch) }, ...rest };
}

function beatOf(epoch: number, counter: number): Beat {
  return { epoch: parseEpoch(epoch), counter, leaseUntilMs: 0 };
}

describe('a ballot', () => {
  test('orders by round, then proposer, then chance', () => {
    const sorted = [
      BALLOT_ZERO,
      ballotAfter(BALLOT_ZERO, 'a', 'x'),
      ballotAfter(BALLOT_ZERO, 'a', 'y'),
      ballotAfter(BALLOT_ZERO, 'b', 'a'),
      ballotAfter(ballot(1), 'a', 'a'),
      ballotAfter(ballot(9), 'a', 'a'),
      ballotAfter(ballot(10), 'a', 'a'),
    ];
    expect(sorted.toSorted()).toEqual(sorted);
  });

  test('is above the one that it was made from, whoever makes it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.string(), fc.string(), (round, proposer, chance) => {
        const above = ballot(round, 'zz', 'zz');
        expect(ballotAfter(above, proposer, chance) > above).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

describe('prepare', () => {
  test('promises a ballot that is not below the promised one, the same one again too', () => {
    const item = prepare(NO_ACCEPTOR, ballot(2)).acceptor;
    expect(prepare(item, ballot(2))).toEqual({ kind: 'promised', acceptor: item });
    expect(prepare(item, ballot(3))).toEqual({ kind: 'promised', acceptor: { promised: ballot(3) } });
    expect(prepare(item, ballot(1))).toEqual({ kind: 'outbid', acceptor: item });
  });

  test('tells what was accepted, beat and voted, and keeps it', () => {
    const item = having(1, { vote: E1, beat: beatOf(1, 4) });
    expect(prepare(item, ballot(5)).acceptor).toEqual({ ...item, promised: ballot(5) });
  });
});

describe('join', () => {
  const joined = { promised: ballot(2), accepted: { ballot: ballot(2), value: value(3) } };

  test('gives a Region that holds nothing its first value, of any epoch, as often as it is said', () => {
    const item = prepare(NO_ACCEPTOR, ballot(2)).acceptor;
    expect(join(item, ballot(2), value(3))).toEqual({ kind: 'joined', acceptor: joined });
    expect(join(joined, ballot(2), value(3))).toEqual({ kind: 'joined', acceptor: joined });
  });

  test('changes nothing where a value is held, or a higher ballot promised', () => {
    expect(join(joined, ballot(5), value(4))).toEqual({ kind: 'known', acceptor: joined });
    const item = prepare(NO_ACCEPTOR, ballot(3)).acceptor;
    expect(join(item, ballot(2), value(3))).toEqual({ kind: 'outbid', acceptor: item });
  });

  test('comes before any lease: who may have forgotten a vote lends nothing', () => {
    expect(beat(NO_ACCEPTOR, beatOf(3, 1)).kind).toBe('stale');
    expect(beat(joined, beatOf(3, 1)).kind).toBe('lent');
    expect(beat(joined, beatOf(2, 1)).kind).toBe('deposed');
  });
});

describe('accept', () => {
  test('refuses a ballot below the promised one, whatever the value', () => {
    const item = having(1, { vote: E1 });
    for (const epoch of [1, 2, 3]) {
      expect(accept(item, ballot(1), value(epoch))).toEqual({ kind: 'outbid', acceptor: item });
    }
  });

  test('takes nothing, be it the first epoch, where nothing was joined', () => {
    const voted = vote(prepare(NO_ACCEPTOR, ballot(1)).acceptor, E1, 'over').acceptor;
    for (const item of [NO_ACCEPTOR, voted]) {
      for (const epoch of [1, 2]) expect(accept(item, ballot(2), value(epoch)).kind).toBe('withheld');
      expect(accept(item, ballot(2), value(2), 'run/1').kind).toBe('withheld');
    }
  });

  test.each([
    ['no vote', undefined, 'withheld'],
    ['a vote against the epoch before', E1, 'accepted'],
    ['a vote against an epoch before that', EPOCH_ZERO, 'withheld'],
    ['a vote against the epoch itself, which covers both', E2, 'accepted'],
  ])('of a higher epoch, with %s', (_, voted, kind) => {
    const item = having(1, voted === undefined ? {} : { vote: voted });
    const answer = accept(item, ballot(3), value(2));
    expect(answer.kind).toBe(kind);
    if (kind === 'withheld') expect(answer.acceptor).toBe(item);
    else expect(answer.acceptor.vote).toBe(voted);
  });

  test('never takes an epoch that skips one for which it has not voted', () => {
    expect(accept(having(1, { vote: E1 }), ballot(3), value(3)).kind).toBe('withheld');
    expect(accept(having(1, { vote: E2 }), ballot(3), value(3)).kind).toBe('accepted');
    expect(accept(NO_ACCEPTOR, ballot(3), value(2)).kind).toBe('withheld');
  });

  test('takes the epoch that it has, or a lower one, under a higher ballot', () => {
    expect(accept(having(2), ballot(3), value(2, 'other')).kind).toBe('accepted');
    expect(epochOf(accept(having(2), ballot(3), value(1)).acceptor)).toBe(1);
  });

  test('raises the promise to its own ballot', () => {
    const { acceptor } = accept(having(1), ballot(7), value(1));
    expect(prepare(acceptor, ballot(6)).kind).toBe('outbid');
  });
});

describe('beat', () => {
  test('is lent to as long as its counter grows', () => {
    const first = beat(having(1), beatOf(1, 1));
    expect(first.kind).toBe('lent');
    expect(beat(first.acceptor, beatOf(1, 2)).kind).toBe('lent');
    for (const counter of [0, 1]) {
      expect(beat(first.acceptor, beatOf(1, counter))).toEqual({ kind: 'stale', acceptor: first.acceptor });
    }
  });

  test('of a later epoch begins its counter anew, and makes those of the earlier one stale', () => {
    const item = beat(beat(having(1), beatOf(1, 900)).acceptor, beatOf(2, 1)).acceptor;
    expect(counterOf(item, E2)).toBe(1);
    expect(counterOf(item, E1)).toBe(0);
    expect(beat(item, beatOf(1, 901)).kind).toBe('stale');
  });

  test('is refused where the Region has voted against its epoch, or a later one', () => {
    for (const voted of [E1, E2]) {
      const item = having(1, { vote: voted });
      expect(beat(item, beatOf(1, 1))).toEqual({ kind: 'deposed', acceptor: item });
    }
    expect(beat(having(2, { vote: E1 }), beatOf(2, 1)).kind).toBe('lent');
  });

  test('is refused where the Region knows a higher epoch', () => {
    expect(beat(having(2), beatOf(1, 1)).kind).toBe('deposed');
    expect(beat(having(1), beatOf(2, 1)).kind).toBe('lent');
  });

  test('that says where the log ends is remembered beyond beats that do not, and beyond the epoch', () => {
    const said = beat(having(1), { ...beatOf(1, 1), end: END }).acceptor;
    expect(said.leaderEnd).toEqual({ epoch: 1, end: END });
    expect(said.beat).toEqual(beatOf(1, 1));
    const after = beat(beat(said, beatOf(1, 2)).acceptor, beatOf(2, 1)).acceptor;
    expect(after.leaderEnd).toEqual({ epoch: 1, end: END });
  });
});

describe('vote', () => {
  test('counts only while the counter is the one that was watched', () => {
    const item = beat(having(1), beatOf(1, 4)).acceptor;
    expect(vote(item, E1, 4)).toEqual({ kind: 'voted', acceptor: { ...item, vote: 1 } });
    for (const counter of [0, 3, 5])
      expect(vote(item, E1, counter)).toEqual({ kind: 'beaten', acceptor: item });
    expect(vote(item, E1, 'over').kind).toBe('voted');
  });

  test('against an epoch of which no beat was ever seen', () => {
    expect(vote(having(1), E1, 0).kind).toBe('voted');
    expect(vote(having(1), E1, 1).kind).toBe('beaten');
    const later = beat(having(1), beatOf(2, 1)).acceptor;
    expect(vote(later, E1, 0).kind).toBe('beaten');
  });

  test('is refused where a higher epoch is accepted, or voted against', () => {
    for (const item of [having(2), having(1, { vote: E2 })]) {
      expect(vote(item, E1, 'over')).toEqual({ kind: 'deposed', acceptor: item });
    }
  });

  test('may be repeated, and raised', () => {
    const item = having(1, { vote: E1 });
    expect(vote(item, E1, 0)).toEqual({ kind: 'voted', acceptor: item });
    expect(vote(item, E3, 'over').acceptor.vote).toBe(3);
  });
});

describe('unvote', () => {
  test('lets the leader be lent to again', () => {
    const { kind, acceptor } = unvote(having(1, { vote: E1 }), E1);
    expect(kind).toBe('restored');
    expect(acceptor).toEqual(having(1));
    expect(beat(acceptor, beatOf(1, 1)).kind).toBe('lent');
    expect(accept(acceptor, ballot(3), value(2)).kind).toBe('withheld');
  });

  test('of no vote is done already', () => {
    expect(unvote(having(1), E1)).toEqual({ kind: 'restored', acceptor: having(1) });
  });

  test('is refused once a higher epoch is accepted, and for the vote against another', () => {
    for (const item of [having(2, { vote: E1 }), having(1, { vote: E2 })]) {
      expect(unvote(item, E1)).toEqual({ kind: 'deposed', acceptor: item });
    }
  });
});

const DONE = new Set(['promised', 'accepted', 'lent', 'voted', 'restored', 'joined', 'drawn']);

test('whatever is called, promises and beats never go back, and what is refused changes nothing', () => {
  fc.assert(
    fc.property(anyOperations, (operations) => {
      let before = NO_ACCEPTOR;
      for (const answer of answers(operations)) {
        const { kind, acceptor } = answer as { kind: string; acceptor: Acceptor };
        if (!DONE.has(kind)) expect(acceptor).toBe(before);
        expect(acceptor.promised >= before.promised).toBe(true);
        expect((acceptor.accepted?.ballot ?? '') >= (before.accepted?.ballot ?? '')).toBe(true);
        expect(acceptor.promised >= (acceptor.accepted?.ballot ?? '')).toBe(true);
        const [was, is] = [before.beat ?? beatOf(0, 0), acceptor.beat ?? beatOf(0, 0)];
        expect(is.epoch > was.epoch || (is.epoch === was.epoch && is.counter >= was.counter)).toBe(true);
        if (kind === 'lent')
          expect((acceptor.vote ?? 0) < is.epoch && epochOf(acceptor) <= is.epoch).toBe(true);
        before = acceptor;
      }
    }),
  );
});

test.each([
  [1, 1],
  [2, 2],
  [3, 2],
  [4, 3],
  [5, 3],
])('of %i members, %i are a majority', (members, majority) => {
  expect(majorityOf(members)).toBe(majority);
  expect(majority * 2).toBeGreaterThan(members);
});
