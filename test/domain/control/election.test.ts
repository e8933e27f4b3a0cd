import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Candidate, elect } from '#lib/domain/control/election.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { AP, EU, SA, US } from '../../support/memory-group.ts';

const RULES = { maxLagMs: 1_000, force: false };

function candidate(region: RegionId, given: Partial<Candidate> = {}): Candidate {
  return {
    region,
    lastEpoch: parseEpoch(1),
    lastLsn: parseLsn(10),
    lastCommitMs: 50_000,
    appliedLsn: parseLsn(10),
    appliedCommitMs: 50_000,
    copying: false,
    attached: true,
    noFailover: false,
    priority: 0,
    ...given,
  };
}

const lsn = (value: number) => ({ lastLsn: parseLsn(value) });

describe('elect', () => {
  test('takes the highest epoch, then the highest LSN, then the priority, then the name', () => {
    const winner = (...candidates: readonly Candidate[]) => elect(candidates, RULES).winner;
    expect(winner(candidate(US, lsn(99)), candidate(AP, { lastEpoch: parseEpoch(2) }))).toBe(AP);
    expect(winner(candidate(US, { priority: 9 }), candidate(AP, lsn(11)))).toBe(AP);
    expect(winner(candidate(US), candidate(AP, { priority: 1 }))).toBe(AP);
    expect(winner(candidate(US), candidate(SA), candidate(AP))).toBe(AP);
  });

  test.each<readonly [string, Partial<Candidate>, string]>([
    ['noFailover', { noFailover: true }, 'it is configured as noFailover'],
    ['copying', { copying: true }, 'its first copy of the data is not whole yet'],
    ['lagging', { appliedCommitMs: 48_999 }, 'its store lags by 1001 ms, more than 1000 ms'],
  ])('does not take a replica that is %s, says why, and pulls from it if it is ahead', (_, given, why) => {
    const { winner, pullFrom, verdicts } = elect(
      [candidate(US, { ...lsn(20), ...given }), candidate(AP)],
      RULES,
    );
    expect(winner).toBe(AP);
    expect(pullFrom).toEqual([US]);
    expect(verdicts).toEqual([
      { region: US, eligible: false, why },
      { region: AP, eligible: true, why: 'eligible' },
    ]);
  });

  test.each<readonly [string, Partial<Candidate>, boolean]>([
    ['as long', {}, true],
    ['shorter', { ...lsn(5), appliedLsn: parseLsn(4) }, true],
    ['not attached', { attached: false }, false],
    ['of an earlier leader', { hasLed: true }, false],
    ['ended in an earlier epoch, so that it may have parted there', { lastEpoch: parseEpoch(0) }, false],
    ['behind its own store', { ...lsn(5) }, false],
    ['of a store that is being copied', { copying: true }, false],
  ])('lets a replica follow at once by its log and store: one that is %s', (_, given, follows) => {
    const { followers, winner } = elect([candidate(AP, { priority: 1 }), candidate(US, given)], RULES);
    expect(winner).toBe(AP);
    expect(followers).toEqual(follows ? [US] : []);
  });

  test('lets nobody follow one that is not attached itself at once', () => {
    const parted = candidate(AP, { attached: false });
    const { followers, winner } = elect([parted, candidate(US)], { ...RULES, asked: AP, force: true });
    expect([winner, followers]).toEqual([AP, []]);
  });

  test('neither takes a replica that is not attached, nor pulls from it, nor goes by how new it is', () => {
    const parted = candidate(US, { ...lsn(20), attached: false, lastCommitMs: 90_000 });
    expect(elect([parted, candidate(AP)], RULES)).toEqual({
      winner: AP,
      pullFrom: [],
      followers: [],
      verdicts: [
        { region: US, eligible: false, why: 'it is not re-attached yet' },
        { region: AP, eligible: true, why: 'eligible' },
      ],
    });
  });

  test('does not take a store that has no position', () => {
    const { appliedLsn: _, ...rest } = candidate(US);
    expect(elect([rest], RULES)).toEqual({
      verdicts: [{ region: US, eligible: false, why: 'its store has no position yet' }],
      pullFrom: [],
      followers: [],
    });
  });

  test('does not take a store that is ahead of every log that is left, but one whose log others can make whole', () => {
    const ahead = candidate(US, { appliedLsn: parseLsn(12) });
    const { verdicts, winner } = elect([ahead, candidate(AP, lsn(11))], RULES);
    expect(winner).toBe(AP);
    expect(verdicts[0]).toEqual({
      region: US,
      eligible: false,
      why: 'its store is ahead of every log that is left',
    });
    const parted = candidate(SA, { ...lsn(99), attached: false });
    expect(elect([ahead, parted], RULES).winner).toBeUndefined();
    const whole = elect([ahead, candidate(AP, { ...lsn(12), noFailover: true })], RULES);
    expect([whole.winner, whole.pullFrom]).toEqual([US, [AP]]);
  });

  test('measures lag against the newest record that any attached replica holds', () => {
    const held = candidate(EU, { noFailover: true, lastCommitMs: 51_001, ...lsn(11) });
    const fresh = candidate(US, { appliedCommitMs: 50_001 });
    expect(elect([held, candidate(AP), fresh], RULES).winner).toBe(US);
    expect(elect([held, candidate(AP), fresh], { ...RULES, maxLagMs: 1_001 }).winner).toBe(AP);
  });

  test('of those that lag, the leader that is replaced is the last to lead again, whatever it holds', () => {
    const lags = { appliedCommitMs: 40_000 };
    const replaced = candidate(EU, { ...lsn(99), ...lags });
    expect(elect([replaced, candidate(US, lags)], { ...RULES, replaced: EU }).winner).toBe(US);
    const unable = candidate(US, { ...lags, noFailover: true });
    expect(elect([replaced, unable], { ...RULES, replaced: EU }).winner).toBe(EU);
  });

  test('takes a replica that lags if nobody else may lead, and says so; one that was asked for it does not', () => {
    const stale = candidate(AP, { appliedCommitMs: 40_000, ...lsn(9) });
    const { winner, pullFrom, verdicts } = elect([candidate(EU, { noFailover: true }), stale], RULES);
    expect([winner, pullFrom]).toEqual([AP, [EU]]);
    expect(verdicts[1]!.why).toBe(
      'eligible, although its store lags by 10000 ms, more than 1000 ms: nobody else is',
    );
    const asked = elect([candidate(EU), stale], { ...RULES, asked: AP });
    expect(asked.winner).toBeUndefined();
    expect(elect([candidate(EU), stale], { ...RULES, replaced: EU }).winner).toBe(EU);
  });

  test('takes whom an operator asks for, if that one is eligible, and pulls what others have more', () => {
    const candidates = [candidate(US, lsn(20)), candidate(AP), candidate(SA, lsn(15))];
    const { winner, pullFrom } = elect(candidates, { ...RULES, asked: AP });
    expect(winner).toBe(AP);
    expect(pullFrom).toEqual([US, SA]);
    const refused = elect([candidate(US), candidate(AP, { attached: false })], { ...RULES, asked: AP });
    expect(refused.winner).toBeUndefined();
  });

  test('is forced for the one that was asked for only, and says although what', () => {
    const candidates = [candidate(US, { attached: false }), candidate(AP, { noFailover: true })];
    const forced = elect(candidates, { ...RULES, asked: AP, force: true });
    expect(forced.winner).toBe(AP);
    expect(forced.verdicts[1]!.why).toBe('forced, although it is configured as noFailover');
    expect(elect(candidates, { ...RULES, force: true }).winner).toBeUndefined();
  });

  test('takes the leader that is replaced only if it is asked for, or if nobody else may be', () => {
    const candidates = [candidate(EU, lsn(20)), candidate(AP)];
    const { winner, pullFrom, verdicts } = elect(candidates, { ...RULES, replaced: EU });
    expect([winner, pullFrom]).toEqual([AP, [EU]]);
    expect(verdicts[0]!.why).toBe('it is the leader that is replaced');
    expect(elect(candidates, { ...RULES, replaced: EU, asked: EU }).winner).toBe(EU);
    const others = [candidate(EU, lsn(20)), candidate(AP, { copying: true })];
    expect(elect(others, { ...RULES, replaced: EU }).winner).toBe(EU);
  });

  test('takes a replica whose lag alarm is on only if there is no other, and pulls from it if it is ahead', () => {
    const alarmed = candidate(US, { ...lsn(20), lagAlarm: 'applied-lag' });
    const { pullFrom, verdicts, winner } = elect([alarmed, candidate(AP)], RULES);
    expect([winner, pullFrom]).toEqual([AP, [US]]);
    expect(verdicts[0]).toEqual({ region: US, eligible: false, why: 'the alarm applied-lag is on' });
  });

  test('goes by the positions where the alarm is on everywhere: the leader is lost, and nobody knows the lag', () => {
    const all = [
      candidate(US, { lagAlarm: 'applied-lag', ...lsn(20) }),
      candidate(AP, { lagAlarm: 'durable-lag' }),
    ];
    const { verdicts, winner } = elect(all, RULES);
    expect(winner).toBe(US);
    expect(verdicts[1]!.why).toBe('eligible, although the alarm durable-lag is on: nobody else is');
  });

  test('takes a follower whose alarm is on before the leader that is replaced', () => {
    const candidates = [candidate(EU, lsn(20)), candidate(AP, { lagAlarm: 'applied-lag' })];
    expect(elect(candidates, { ...RULES, replaced: EU }).winner).toBe(AP);
  });

  test('lets no alarm make a replica eligible that is not', () => {
    const candidates = [candidate(US, { lagAlarm: 'applied-lag', attached: false })];
    expect(elect(candidates, RULES)).toMatchObject({
      verdicts: [{ eligible: false, why: 'it is not re-attached yet' }],
    });
  });

  test('finds nobody among none', () => {
    expect(elect([], RULES)).toEqual({ verdicts: [], pullFrom: [], followers: [] });
  });

  const anyCandidates = fc.uniqueArray(fc.constantFrom(EU, US, AP, SA), { maxLength: 4 }).chain((regions) =>
    fc.tuple(
      ...regions.map((region) =>
        fc
          .record({
            lastEpoch: fc.integer({ min: 1, max: 3 }).map((each) => parseEpoch(each)),
            lastLsn: fc.nat(5).map((each) => parseLsn(each)),
            lastCommitMs: fc.nat(3_000),
            applied: fc.option(
              fc.record({
                appliedLsn: fc.nat(5).map((each) => parseLsn(each)),
                appliedCommitMs: fc.nat(3_000),
              }),
              { nil: undefined },
            ),
            copying: fc.boolean(),
            attached: fc.boolean(),
            noFailover: fc.boolean(),
            priority: fc.nat(2),
            alarmed: fc.boolean(),
          })
          .map(
            ({ alarmed, applied, ...rest }): Candidate => ({
              region,
              ...rest,
              ...applied,
              ...(alarmed && { lagAlarm: 'applied-lag' }),
            }),
          ),
      ),
    ),
  );
  const withoutAlarm = ({ lagAlarm: _, ...rest }: Candidate): Candidate => rest;

  test('whoever stands: alarms choose among those who may lead, but never leave nobody, and bring nobody in', () => {
    fc.assert(
      fc.property(anyCandidates, anyRules, (candidates, rules) => {
        const heeded = elect(candidates, rules);
        const unheeded = elect(candidates.map(withoutAlarm), rules);
        const eligible = ({ verdicts }: typeof heeded) =>
          verdicts.filter((each) => each.eligible).map(({ region }) => region);
        expect(heeded.winner === undefined).toBe(unheeded.winner === undefined);
        expect(eligible(unheeded)).toEqual(expect.arrayContaining(eligible(heeded)));
      }),
      { numRuns: 500 },
    );
  });

  const anyRules = fc.record(
    {
      maxLagMs: fc.constantFrom(500, 5_000),
      force: fc.boolean(),
      asked: fc.constantFrom(EU, US),
      replaced: fc.constantFrom(EU, AP),
    },
    { requiredKeys: ['maxLagMs', 'force'], noNullPrototype: true },
  );

  test('whoever stands: the winner may lead unless forced, nobody who may is ahead, and all that is ahead and attached is pulled', () => {
    fc.assert(
      fc.property(anyCandidates, anyRules, (candidates, rules) => {
        const { winner, pullFrom, verdicts } = elect(candidates, rules);
        expect(verdicts.map(({ region }) => region)).toEqual(candidates.map(({ region }) => region));
        const eligible = verdicts.filter((each) => each.eligible).map(({ region }) => region);
        if (winner === undefined) {
          expect([eligible, pullFrom]).toEqual([[], []]);
          return;
        }
        const of = (region: RegionId) => candidates.find((each) => each.region === region)!;
        const won = of(winner);
        const forced = rules.force && rules.asked === winner;
        if (rules.asked !== undefined) expect(winner).toBe(rules.asked);
        if (!forced) {
          expect(won).toMatchObject({ copying: false, attached: true, noFailover: false });
          expect(won.appliedLsn).toBeDefined();
        }
        const isAhead = (a: Candidate, b: Candidate) =>
          a.lastEpoch > b.lastEpoch || (a.lastEpoch === b.lastEpoch && a.lastLsn > b.lastLsn);
        for (const region of eligible) expect(isAhead(of(region), won)).toBe(false);
        const fits = candidates.filter(({ attached }) => attached && won.attached);
        const ahead = fits.filter((each) => isAhead(each, won)).map(({ region }) => region);
        expect(pullFrom.toSorted()).toEqual(ahead.toSorted());
        for (const region of ahead) expect(isAhead(of(region), of(pullFrom[0]!))).toBe(false);
        if (winner === rules.replaced && rules.asked === undefined) expect(eligible).toEqual([winner]);
      }),
      { numRuns: 500 },
    );
  });
});
