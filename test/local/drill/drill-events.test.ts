import { expect, test } from 'vitest';
import { DrillEvents } from '#lib/local/drill/drill-events.ts';
import type { DrillEvent } from '#lib/local/drill/drill-report.ts';

function event(atMs: number, what: string, at = 'eu-west-1'): DrillEvent {
  return { atMs, phase: 'reattach', at, what };
}

test('what a place repeats is told once, at once, and counted up to the next event of that place and phase', () => {
  const told: DrillEvent[] = [];
  const events = new DrillEvents((each) => told.push(each));
  events.add(event(0, 'refused'), true);
  expect(told).toEqual([event(0, 'refused')]);
  events.add(event(600, 'refused'), true);
  events.add(event(700, 'refused', 'us-east-1'), true);
  events.add({ ...event(800, 'claimed'), phase: 'claim' });
  events.add(event(1_200, 'refused'), true);
  events.add(event(1_500, 'saved'));
  events.add(event(1_600, 'refused'), true);
  expect(told.map(({ atMs }) => atMs)).toEqual([0, 700, 800, 1_500, 1_600]);
  expect(events.all).toEqual([
    { ...event(0, 'refused'), times: 3 },
    event(700, 'refused', 'us-east-1'),
    { ...event(800, 'claimed'), phase: 'claim' },
    event(1_500, 'saved'),
    event(1_600, 'refused'),
  ]);
});

test('what may not repeat is told each time', () => {
  const told: DrillEvent[] = [];
  const events = new DrillEvents((each) => told.push(each));
  events.add(event(0, 'lost'));
  events.add(event(1, 'lost'));
  expect(told).toEqual(events.all);
  expect(told).toHaveLength(2);
});
