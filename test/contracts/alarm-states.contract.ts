import { describe, expect, test } from 'vitest';
import type { AlarmState } from '#lib/domain/alarms.ts';
import { UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';

/** More than CloudWatch answers at a time, and than it takes in one question. */
export const MANY = Array.from({ length: 130 }, (_, index) => `alarm-${index}`);
/** The alarms that there are; the composite one is on while `applied-lag` is. */
export const NAMES = ['applied-lag', 'durable-lag', UNSAFE_ALARM, ...MANY];

type Opened = {
  readonly alarms: AlarmStates;
  /** Another group's in the same Region, whose name begins with this one's. */
  readonly other: AlarmStates;
  /** Has an alarm of the first group stand like this from now on. */
  readonly set: (alarm: string, state: AlarmState['state'], reason: string) => Promise<void>;
};

/** What every reader of alarms does. `open` gives a group whose alarms of NAMES nobody has set yet. */
export function alarmStatesContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} as a reader of alarms`, () => {
    test('says how each stands, since when, why, and what it means', async () => {
      const { alarms, set } = await open();
      const before = Date.now();
      await set('durable-lag', 'ok', 'all is well');
      await set('applied-lag', 'alarm', 'too far behind');
      const [applied, durable] = await alarms.of(['applied-lag', 'durable-lag']);
      expect(applied).toMatchObject({ alarm: 'applied-lag', state: 'alarm', reason: 'too far behind' });
      expect(applied!.sinceMs).toBeGreaterThanOrEqual(before - 1);
      expect(applied!.sinceMs).toBeLessThanOrEqual(Date.now());
      expect(applied!.text).toMatch(/^\[page\] .*docs\/RUNBOOK\.md#alarm-applied-lag$/);
      expect(durable).toMatchObject({ alarm: 'durable-lag', state: 'ok', reason: 'all is well' });
    });

    test('says that nobody knows where that is so', async () => {
      const { alarms, set } = await open();
      await set('applied-lag', 'unknown', 'too few figures');
      expect(await alarms.of(['applied-lag'])).toMatchObject([{ state: 'unknown' }]);
    });

    test('answers in the order of the names, and leaves out those that do not exist', async () => {
      const { alarms } = await open();
      const answer = await alarms.of(['durable-lag', 'no-such-alarm', 'applied-lag']);
      expect(answer.map(({ alarm }) => alarm)).toEqual(['durable-lag', 'applied-lag']);
      expect(await alarms.of([])).toEqual([]);
    });

    test('finds all of many', async () => {
      const { alarms, set } = await open();
      await set('alarm-129', 'alarm', 'the last');
      const answer = await alarms.of(MANY);
      expect(answer.map(({ alarm }) => alarm)).toEqual(MANY);
      expect(answer.filter(({ state }) => state === 'alarm').map(({ alarm }) => alarm)).toEqual([
        'alarm-129',
      ]);
    });

    test('knows the composite alarm, too', async () => {
      const { alarms, set } = await open();
      await set('applied-lag', 'alarm', 'too far behind');
      await set(UNSAFE_ALARM, 'alarm', 'applied-lag');
      const answer = await alarms.of([UNSAFE_ALARM, 'applied-lag']);
      expect(answer).toMatchObject([
        { alarm: UNSAFE_ALARM, state: 'alarm' },
        { alarm: 'applied-lag', state: 'alarm' },
      ]);
    });

    test("takes no other group's alarm for its own", async () => {
      const { alarms, other, set } = await open();
      await set('applied-lag', 'alarm', 'too far behind');
      expect(await other.of(NAMES)).toEqual([]);
      expect(await alarms.of(['applied-lag'])).toHaveLength(1);
    });
  });
}
