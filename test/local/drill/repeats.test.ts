import { expect, test } from 'vitest';
import type { DrillEvent } from '#lib/local/drill/drill-report.ts';
import { Repeats } from '#lib/local/drill/repeats.ts';

function event(atMs: number, what: string, at = 'eu-west-1'): DrillEvent {
  return { atMs, phase: 'reattach', at, what };
}

test('what a place repeats is one event with a count, told before the next one of that place and phase', () => {
  const told: DrillEvent[] = [];
  const repeats = new Repeats((each) => told.push(each));
  repeats.add(event(0, 'refused'), true);
  repeats.add(event(600, 'refused'), true);
  repeats.add(event(700, 'elected', 'us-east-1'), false);
  repeats.add({ ...event(800, 'claimed'), phase: 'claim' }, false);
  repeats.add(event(1_200, 'refused'), true);
  expect(told.splice(0).map(({ what }) => what)).toEqual(['elected', 'claimed']);
  repeats.add(event(1_500, 'saved'), false);
  expect(told).toEqual([{ ...event(0, 'refused'), times: 3 }, event(1_500, 'saved')]);
});

test('what is not repeated for a while is told without a count, and the end keeps nothing back', () => {
  const told: DrillEvent[] = [];
  const repeats = new Repeats((each) => told.push(each));
  repeats.add(event(0, 'refused'), true);
  repeats.settle(1_000);
  expect(told).toEqual([]);
  repeats.settle(3_000);
  expect(told).toEqual([event(0, 'refused')]);
  repeats.add(event(3_500, 'refused'), true);
  repeats.settle();
  expect(told).toEqual([event(0, 'refused'), event(3_500, 'refused')]);
});
