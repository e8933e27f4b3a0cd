import { describe, expect, test } from 'vitest';
import { type FenceEvidence, judgeFence, type Proof } from '#lib/domain/control/fence.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const YES: Proof = { proven: true, detail: 'so it is' };
const NO: Proof = { proven: false, detail: 'no answer' };
const LEASE = 2_000;

/** EU is lost, and nothing else than the seals is known. */
const judge = (given: Partial<FenceEvidence> = {}) =>
  judgeFence({
    seals: [US, AP].map((region) => ({ region, sealed: true })),
    members: 3,
    votes: 0,
    waitedMs: 0,
    leaseAndMarginMs: LEASE,
    watchdog: NO,
    engine: NO,
    host: NO,
    ...given,
  });

describe('a fence', () => {
  test.each([
    ['a majority has withdrawn the lease', { votes: 2 }],
    ['the old Region lends no lease any more', { watchdog: YES }],
    ['the old store refuses writes', { engine: YES }],
    ["the user's hook has fenced the hosts", { host: YES }],
    ['lease and margin have been waited out', { waitedMs: LEASE }],
  ])('holds where %s', (_, given) => {
    expect(judge(given).kind).toBe('fenced');
  });

  test('with nothing proven beyond the seal waits for what is left of lease and margin', () => {
    expect(judge()).toMatchObject({ kind: 'wait', waitMs: LEASE });
    expect(judge({ votes: 1 })).toMatchObject({ kind: 'wait', waitMs: LEASE });
    expect(judge({ waitedMs: LEASE - 1 })).toMatchObject({ kind: 'wait', waitMs: 1 });
  });

  test('counts votes by the members, not by the replicas', () => {
    expect(judge({ members: 5, votes: 2 }).kind).toBe('wait');
    expect(judge({ members: 5, votes: 3 }).kind).toBe('fenced');
  });

  test('without a sealed log elects nobody, whatever else is proven', () => {
    const seals = [US, AP].map((region) => ({ region, sealed: false }));
    const verdict = judge({ seals, votes: 3, engine: YES, host: YES, waitedMs: LEASE });
    expect(verdict).toMatchObject({ kind: 'wait', why: 'no log of a follower could be sealed' });
    expect(verdict.rungs.log).toEqual({
      proven: false,
      detail: `sealed in none; no answer from ${US}, ${AP}`,
    });
  });

  test('says of each rung what it rests on', () => {
    const { rungs } = judge({
      votes: 2,
      seals: [
        { region: US, sealed: true },
        { region: AP, sealed: false },
      ],
    });
    expect(rungs).toEqual({
      log: { proven: true, detail: `sealed in ${US}; no answer from ${AP}` },
      lease: { proven: true, detail: expect.stringContaining('2 of 3 Regions') },
      watchdog: NO,
      engine: NO,
      host: NO,
    });
    expect(JSON.stringify(rungs)).not.toContain(EU);
  });
});
