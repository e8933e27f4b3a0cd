import type { RunEvent } from '#lib/local/workflow/run-history.ts';

export type Status = 'succeeded' | 'failed' | 'running' | 'not-run';

/** How far a run is: what has become of each state that it entered, and the steps from state to state that it took. */
export type Progress = {
  readonly statusOf: (state: string) => Status;
  readonly hasGone: (from: string, to: string) => boolean;
  /** In the order in which they were entered, without repeats. */
  readonly entered: readonly string[];
};

export function progressOf(events: readonly RunEvent[]): Progress {
  const statuses = new Map<string, Status>();
  const steps = new Set<string>();
  let last: string | undefined;
  for (const event of events) {
    if (event.kind === 'entered') {
      if (last !== undefined) steps.add(`${last} → ${event.state}`);
      last = event.state;
      statuses.set(event.state, 'running');
    }
    if (event.kind === 'left') statuses.set(event.state, 'succeeded');
    if (event.kind === 'failed') statuses.set(event.state, 'failed');
  }
  return {
    statusOf: (state) => statuses.get(state) ?? 'not-run',
    hasGone: (from, to) => steps.has(`${from} → ${to}`),
    entered: [...statuses.keys()],
  };
}

/** The events of a run up to when it entered a state, as one sees it while it is there. */
export function untilEntered(events: readonly RunEvent[], state: string): readonly RunEvent[] {
  const at = events.findIndex((event) => event.kind === 'entered' && event.state === state);
  if (at < 0) throw new Error(`the run ${events[0]?.run} never came to ${state}`);
  return events.slice(0, at + 1);
}
