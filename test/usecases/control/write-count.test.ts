import { describe, expect, test } from 'vitest';
import { type Acceptor, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import { MADE_MS } from '#lib/domain/control/application-lease.ts';
import { WriteCount } from '#lib/usecases/control/write-count.ts';
import { E1, E2 } from '../../support/log-history.ts';

const CLOCKS_MS = 500;

/** The own item: after a beat of this counter and grant, with so much drawn. */
function item(drawn: number, counter?: number, granted?: number, epoch = E1): Acceptor {
  if (counter === undefined) return { ...NO_ACCEPTOR, drawn };
  const beat = { epoch, counter, leaseUntilMs: 0, ...(granted !== undefined && { granted }) };
  return { ...NO_ACCEPTOR, drawn, beat };
}

/** A leader that has begun an epoch with `drawn` drawn earlier, and whose first beat a majority has taken. */
function begun(drawn = 0): WriteCount {
  const count = new WriteCount();
  count.look(item(drawn), E1, 1_000);
  count.announce(item(drawn, 1, count.granted));
  count.grant();
  return count;
}

describe('what a leader lets its applications draw', () => {
  test('is nothing before a majority has heard of it', () => {
    const count = new WriteCount();
    count.look(item(40), E1, 1_000);
    expect(count.granted).toBe(40);
    count.announce(item(40, 1, 40));
    expect(count.granted).toBe(40);
    count.grant();
    expect(count.granted).toBe(40 + 256);
  });

  test('grows with what they draw, is never taken back, and asks for an early beat before it is used up', () => {
    const count = begun();
    expect(count.isLow).toBe(false);
    count.look(item(200, 1, 0), E1, 1_100);
    expect(count.isLow).toBe(true);
    count.announce(item(200, 2, 256));
    count.grant();
    expect(count.granted).toBe(200 + 4 * 200);
    count.announce(item(201, 3, 1_000));
    count.grant();
    expect(count.granted).toBe(1_000);
  });

  test('goes by the own item where another process has beaten meanwhile', () => {
    const count = begun();
    count.announce(item(0, 2, 256));
    count.look(item(10, 7, 100), E1, 1_200);
    expect(count.granted).toBe(100);
    count.grant();
    expect(count.granted).toBe(100);
  });
});

describe('what may be acknowledged beyond the end of a log', () => {
  test('is all that was announced in the epoch, until the log is known to hold some of it', () => {
    const count = begun(40);
    expect(count.beyond(5_000, CLOCKS_MS)).toBe(256);
    count.look(item(50, 1, 296), E1, 10_000);
    count.announce(item(50, 2, 296));
    expect(count.beyond(10_000 + MADE_MS + CLOCKS_MS - 1, CLOCKS_MS)).toBe(10 + 256);
    expect(count.beyond(10_000 + MADE_MS + CLOCKS_MS, CLOCKS_MS)).toBe(256);
  });

  test('is unknown to a process that began in the middle of the epoch, for as long as it has not watched long enough', () => {
    const count = new WriteCount();
    count.look(item(30, 9, 300), E1, 10_000);
    count.announce(item(30, 10, 300));
    expect(count.beyond(10_000, CLOCKS_MS)).toBeUndefined();
    expect(count.beyond(10_000 + MADE_MS + CLOCKS_MS, CLOCKS_MS)).toBe(270);
  });

  test('counts too much rather than too little where the clock was set back', () => {
    const count = begun();
    count.look(item(10, 1, 256), E1, 20_000);
    count.look(item(20, 1, 256), E1, 15_000);
    expect(count.beyond(19_000 + MADE_MS, 0)).toBe(256);
    expect(count.beyond(20_000 + MADE_MS, 0)).toBe(256 - 20);
  });

  test('begins anew with an epoch', () => {
    const count = begun();
    count.look(item(250, 1, 256), E1, 2_000);
    count.look(item(250, 1, 256), E2, 3_000);
    count.announce(item(250, 2, 250, E2));
    expect(count.beyond(3_000, CLOCKS_MS)).toBe(256);
  });
});
