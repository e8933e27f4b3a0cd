import type { Epoch } from '#lib/domain/lsn.ts';

/** One line of the decision log: what a step was given, what it decided, and when. Plain JSON. */
export type Decision = {
  /** Unix ms. */
  readonly atMs: number;
  /** The epoch that the run is about to begin. */
  readonly epoch: Epoch;
  readonly run: string;
  readonly step: string;
  readonly input: unknown;
  readonly outcome: unknown;
};

/** The decision log of a group, as one Region keeps it. */
export interface History {
  record(decision: Decision): Promise<void>;
  /** All decisions of an epoch, in the order in which they were recorded. */
  of(epoch: Epoch): Promise<readonly Decision[]>;
}
