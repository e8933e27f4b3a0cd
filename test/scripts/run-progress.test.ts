import { expect, it } from 'vitest';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';
import { progressOf, untilEntered } from '../../scripts/pictures/progress.ts';

const at = { run: 'r', atMs: 0 };
const entered = (state: string): RunEvent => ({ ...at, kind: 'entered', state });
const left = (state: string): RunEvent => ({ ...at, kind: 'left', state });
const failedTry = (state: string): RunEvent => ({ ...at, kind: 'failed-try', state, error: 'E', cause: 'c' });

it('a state that a run has not left is running, also after a try that failed and when it is entered again', () => {
  const events = [entered('Ask'), failedTry('Ask'), left('Ask'), entered('Enough?'), left('Enough?')];
  expect(progressOf(events.slice(0, 2)).statusOf('Ask')).toBe('running');
  const { statusOf } = progressOf([...events, entered('Ask')]);
  expect(['Ask', 'Enough?', 'Done'].map(statusOf)).toEqual(['running', 'succeeded', 'not-run']);
});

it('the state that ends a run badly has failed, and only steps that were taken are gone', () => {
  const events: RunEvent[] = [entered('Ask'), left('Ask'), entered('Refused')];
  const { hasGone, statusOf } = progressOf([
    ...events,
    { ...at, kind: 'failed', state: 'Refused', error: 'E', cause: 'c' },
  ]);
  expect([statusOf('Ask'), statusOf('Refused')]).toEqual(['succeeded', 'failed']);
  expect([hasGone('Ask', 'Refused'), hasGone('Refused', 'Ask')]).toEqual([true, false]);
});

it('a run is shown as it was when it entered a state, which it must have', () => {
  const events = [entered('Ask'), left('Ask'), entered('Done')];
  expect(untilEntered(events, 'Ask')).toEqual([entered('Ask')]);
  expect(() => untilEntered(events, 'Refused')).toThrow('never came to Refused');
});
