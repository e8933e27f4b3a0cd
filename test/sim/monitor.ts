import type { Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { DataMonitor } from './data-monitor.ts';
import { LeadershipMonitor } from './leadership-monitor.ts';
import { LogMonitor } from './log-monitor.ts';
import { LossMonitor } from './loss-monitor.ts';

/** The first rule that a run broke: the number of the invariant in the design, and what was seen. */
export type Violation = { readonly invariant: number; readonly text: string; readonly atMs: number };

/** Sees every effect on stored items, and holds it against the invariants: one part for each kind of item. */
export class Monitor {
  readonly #now: () => number;
  readonly leadership: LeadershipMonitor;
  readonly log: LogMonitor;
  readonly data: DataMonitor;
  readonly loss: LossMonitor;
  violation: Violation | undefined;
  readonly counts = {
    installed: 0,
    acked: 0,
    lost: 0,
    divergent: 0,
    failovers: 0,
    bounded: 0,
    slack: 0,
    lags: 0,
    looks: 0,
    late: 0,
    transactions: 0,
  };

  constructor(members: readonly RegionId[], now: () => number) {
    this.#now = now;
    this.leadership = new LeadershipMonitor(this, members.length);
    this.log = new LogMonitor(this);
    this.data = new DataMonitor(this, now);
    this.loss = new LossMonitor(this);
  }

  violated(invariant: number, text: string): void {
    this.violation ??= { invariant, text, atMs: this.#now() };
  }

  /** The value in force, as far as a majority is known to have accepted it. */
  get register(): Register | undefined {
    return this.leadership.register;
  }
}
