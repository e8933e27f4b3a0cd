import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Ballot, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { answers, anyOperations, ballot, perform } from '../support/acceptor-operations.ts';
import { E1, E2, E3 } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';

export type AcceptorSubject = {
  /** An acceptor that nobody has used. */
  readonly acceptor: AcceptorStore;
  /** Others of the same place: of another group, of another Region. */
  readonly others: readonly AcceptorStore[];
};

const END = { lsn: parseLsn(2n ** 64n - 1n), commitMs: 1_700_000_000_123, beyond: 4_000 };
const FULL: Register = {
  ...founded(EU, parseEpoch(1), 'orders-1 "first"\n'),
  phase: 'switching-over',
  coordinator: US,
  successor: AP,
  led: E1,
  cooldownUntilMs: Number.MAX_SAFE_INTEGER,
  paused: { by: 'jo@example.org', reason: 'ünder way \u{1f980}' },
};

/** What every acceptor does: the rules of domain/control/acceptor.ts, each in one step. */
export function acceptorContract(name: string, open: () => Promise<AcceptorSubject>, runs = 60): void {
  describe(`${name} as an acceptor`, () => {
    test('begins with nothing', async () => {
      expect(await (await open()).acceptor.read()).toEqual(NO_ACCEPTOR);
    });

    test('answers any sequence of calls as the pure rules do, and holds what it has answered', async () => {
      await fc.assert(
        fc.asyncProperty(anyOperations, async (operations) => {
          const { acceptor } = await open();
          const given = [];
          for (const operation of operations) given.push(await perform(acceptor, operation));
          expect(given).toEqual(answers(operations));
          expect(await acceptor.read()).toEqual(given.at(-1)!.acceptor);
        }),
        { numRuns: runs },
      );
    });

    test('keeps every field of register, beat and end exactly', async () => {
      const { acceptor } = await open();
      await acceptor.join(ballot(1), FULL);
      await acceptor.beat({ epoch: E1, counter: 1_700_000_000_456, leaseUntilMs: 0.25, end: END });
      await acceptor.beat({ epoch: E1, counter: 1_700_000_000_457, leaseUntilMs: 7, granted: 9 });
      await acceptor.draw({ epoch: E1, count: 2, granted: 9 });
      await acceptor.vote(E1, 'over', 'run/nonce');
      expect(await acceptor.read()).toEqual({
        promised: ballot(1),
        accepted: { ballot: ballot(1), value: FULL },
        beat: { epoch: 1, counter: 1_700_000_000_457, leaseUntilMs: 7, granted: 9 },
        drawn: 2,
        leaderEnd: { epoch: 1, end: END },
        vote: 1,
        voteBy: 'run/nonce',
      });
    });

    test('of a vote and a beat that race lets one win: never a beat after the vote', async () => {
      for (let round = 1; round <= 5; round++) {
        const { acceptor } = await open();
        await acceptor.join(ballot(1), founded(EU, E1, 'r'));
        await acceptor.beat({ epoch: E1, counter: 1, leaseUntilMs: 0 });
        const [voted, beaten] = await Promise.all([
          acceptor.vote(E1, 1),
          acceptor.beat({ epoch: E1, counter: 2, leaseUntilMs: 0 }),
        ]);
        const item = await acceptor.read();
        expect([voted.kind, beaten.kind, item.vote, item.beat?.counter]).toEqual(
          voted.kind === 'voted' ? ['voted', 'deposed', 1, 1] : ['beaten', 'lent', undefined, 2],
        );
      }
    });

    test('takes one of the values that several proposers offer at once, by the highest ballot', async () => {
      const { acceptor } = await open();
      await acceptor.join(ballot(1), founded(EU, E1, 'first'));
      const rivals = [EU, US, AP].map((leader, index) => ({
        at: ballot(index + 2, leader),
        value: founded(leader, E1, `run ${index}`),
      }));
      const taken = await Promise.all(rivals.map(({ at, value }) => acceptor.accept(at, value)));
      const highest = rivals.filter((_, index) => taken[index]!.kind === 'accepted').at(-1)!;
      expect((await acceptor.read()).accepted).toEqual({ ballot: highest.at, value: highest.value });
      expect(highest.value.leader).toBe(AP);
    });

    test('takes nothing and lends nothing before it was joined, and is joined once', async () => {
      const { acceptor } = await open();
      await acceptor.prepare(ballot(1));
      await acceptor.vote(E1, 'over');
      expect((await acceptor.accept(ballot(2), founded(EU, E1, 'r1'))).kind).toBe('withheld');
      expect((await acceptor.accept(ballot(2), founded(EU, E2, 'r1'), 'run/1')).kind).toBe('withheld');
      expect((await acceptor.beat({ epoch: E2, counter: 1, leaseUntilMs: 0 })).kind).toBe('stale');
      const value = founded(US, E2, 'r2');
      expect((await acceptor.join('' as Ballot, value)).kind).toBe('outbid');
      expect((await acceptor.join(ballot(2), value)).kind).toBe('joined');
      expect((await acceptor.join(ballot(2), value)).kind).toBe('joined');
      expect((await acceptor.join(ballot(3), founded(EU, E3, 'r3'))).kind).toBe('known');
      expect(await acceptor.read()).toMatchObject({ accepted: { ballot: ballot(2), value }, vote: 1 });
      expect((await acceptor.beat({ epoch: E2, counter: 1, leaseUntilMs: 0 })).kind).toBe('lent');
    });

    test('takes a higher epoch only with its own vote against the one before it', async () => {
      const { acceptor } = await open();
      const next = { ...founded(US, E2, 'r2'), phase: 'failing-over' as const };
      await acceptor.join(ballot(1), founded(EU, E1, 'r1'));
      expect((await acceptor.accept(ballot(2), next)).kind).toBe('withheld');
      await acceptor.vote(E1, 0);
      await acceptor.unvote(E1);
      expect((await acceptor.accept(ballot(2), next)).kind).toBe('withheld');
      await acceptor.vote(E1, 0);
      expect((await acceptor.accept(ballot(2), { ...next, epoch: E3 })).kind).toBe('withheld');
      expect((await acceptor.accept(ballot(2), next)).kind).toBe('accepted');
      expect((await acceptor.beat({ epoch: E1, counter: 9, leaseUntilMs: 0 })).kind).toBe('deposed');
    });

    test('promises the next ballot along with what it takes, which is then taken again but for nobody else', async () => {
      const { acceptor } = await open();
      const value = { ...founded(US, E2, 'r2'), phase: 'switching-over' as const };
      await acceptor.join(ballot(1), founded(EU, E1, 'r1'));
      const taken = {
        kind: 'accepted',
        acceptor: { promised: ballot(5), accepted: { ballot: ballot(3), value } },
      };
      expect(await acceptor.accept(ballot(3), value, 'run/1', ballot(5))).toMatchObject(taken);
      expect(await acceptor.accept(ballot(3), value, 'run/1', ballot(5))).toMatchObject(taken);
      expect((await acceptor.accept(ballot(3), value, 'run/1')).kind).toBe('outbid');
      expect((await acceptor.accept(ballot(4), value)).kind).toBe('outbid');
      expect((await acceptor.prepare(ballot(4))).kind).toBe('outbid');
      expect((await acceptor.accept(ballot(5), { ...value, phase: 'leading' })).kind).toBe('accepted');
    });

    test('takes it with the vote in one where the leader consents, and leaves a vote of its own as it is', async () => {
      const { acceptor } = await open();
      const next = { ...founded(US, E2, 'r2'), phase: 'switching-over' as const };
      await acceptor.join(ballot(1), founded(EU, E1, 'r1'));
      await acceptor.prepare(ballot(3));
      expect((await acceptor.accept(ballot(2), next, 'run/1')).kind).toBe('outbid');
      expect((await acceptor.accept(ballot(3), { ...next, epoch: E3 }, 'run/1')).kind).toBe('accepted');
      expect(await acceptor.read()).toMatchObject({ vote: 2, voteBy: 'run/1' });
      const [another] = (await open()).others;
      await another!.join(ballot(1), founded(EU, E1, 'r1'));
      await another!.vote(E1, 0);
      expect(await another!.accept(ballot(2), next, 'run/1')).toMatchObject({ kind: 'accepted' });
      const voice = await another!.read();
      expect([voice.vote, voice.voteBy]).toEqual([1, undefined]);
    });

    test('lets no more be drawn than was granted, however many draw at once', async () => {
      const { acceptor } = await open();
      await acceptor.join(ballot(1), founded(EU, E1, 'r1'));
      await acceptor.beat({ epoch: E1, counter: 1, leaseUntilMs: 0, granted: 10 });
      const draws = Array.from({ length: 7 }, () => acceptor.draw({ epoch: E1, count: 2, granted: 10 }));
      const kinds = (await Promise.all(draws)).map(({ kind }) => kind);
      // A draw whose outcome is lost may be drawn and not counted upon; never the other way round.
      const taken = kinds.filter((kind) => kind === 'drawn').length;
      expect(taken).toBeGreaterThan(0);
      expect(taken).toBeLessThanOrEqual(5);
      expect(await acceptor.read()).toMatchObject({ drawn: 10 });
      expect((await acceptor.draw({ epoch: E1, count: 1, granted: 99 })).kind).toBe('spent');
      await acceptor.vote(E1, 1);
      expect((await acceptor.draw({ epoch: E1, count: 1, granted: 10 })).kind).toBe('deposed');
    });

    test('takes a beat only right after the one that it is to follow', async () => {
      const { acceptor } = await open();
      await acceptor.join(ballot(1), founded(EU, E1, 'r1'));
      const beat = { epoch: E1, leaseUntilMs: 0 };
      expect((await acceptor.beat({ ...beat, counter: 1, follows: 0 })).kind).toBe('lent');
      expect((await acceptor.beat({ ...beat, counter: 3, follows: 0 })).kind).toBe('stale');
      expect((await acceptor.beat({ ...beat, counter: 3, follows: 1 })).kind).toBe('lent');
    });

    test('gives the vote of a switchover back to nobody else, and to no other run', async () => {
      const { acceptor } = await open();
      await acceptor.join(ballot(1), founded(EU, E1, 'r1'));
      const kinds = [
        await acceptor.vote(E1, 'over', 'run/1'),
        await acceptor.vote(E1, 'over', 'other/1'),
        await acceptor.unvote(E1),
        await acceptor.unvote(E1, 'other/1'),
        await acceptor.vote(E1, 'over', 'run/2'),
        await acceptor.unvote(E1, 'run/1'),
      ].map(({ kind }) => kind);
      expect(kinds).toEqual(['voted', 'beaten', 'deposed', 'deposed', 'voted', 'deposed']);
      expect(await acceptor.unvote(E1, 'run/2')).toMatchObject({ kind: 'restored' });
      expect((await acceptor.read()).voteBy).toBeUndefined();
      await acceptor.vote(E1, 'over');
      expect((await acceptor.vote(E1, 'over', 'run/3')).kind).toBe('beaten');
    });

    test('is apart from its neighbours', async () => {
      const { acceptor, others } = await open();
      await acceptor.join(ballot(1), founded(EU, E1, 'mine'));
      const before = await acceptor.read();
      for (const other of others) {
        expect(await other.read()).toEqual(NO_ACCEPTOR);
        await other.prepare(ballot(9));
        await other.vote(E1, 0);
        await other.accept(ballot(9), founded(US, E2, 'theirs'));
      }
      expect(await acceptor.read()).toEqual(before);
    });
  });
}
