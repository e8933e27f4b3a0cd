import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { Proof } from '#lib/domain/control/fence.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/** A lease as a store is told of it: until when it may take writes of an epoch's leader, Unix ms by the store's own clock. */
export type StoreLease = { readonly epoch: Epoch; readonly untilMs: number };

/** The write path of replica stores, tried by a small write through the engine. */
export interface WritePath {
  /**
   * Resolves once a canary is committed in the store of `region`; throws if the store refuses or does not answer.
   *
   * @param lease renewed with it, where the store guards itself.
   * @returns a moment of the store's own clock between call and answer, Unix ms; undefined where it keeps no lease.
   */
  canary(region: RegionId, lease?: StoreLease): Promise<number | undefined>;
}

/** The engine's own fence around one store: refuses writes of all but Understudy. */
export interface EngineFence {
  /**
   * Raises the fence, for a leader of `epoch` or a later one to lower. One that a later epoch has raised stays as it is.
   * Proven only if a write like an application's was refused.
   */
  raise(epoch: Epoch): Promise<Proof>;
  /** Lowers a fence of `epoch` or an earlier one; `fenced`: it is of a later one, and stays. Throws if it may be up. */
  lower(epoch: Epoch): Promise<'open' | 'fenced'>;
}

/** The user's own way to fence the hosts of a Region, e.g. to stop the application there. */
export interface HostFence {
  /** Never later than its own time limit; a hook that fails or hangs has proven nothing. */
  fence(request: HostFenceRequest): Promise<Proof>;
}

/** What the hook is given, as JSON. `epoch` is the one that begins: a hook that has seen a higher one does nothing. */
export type HostFenceRequest = {
  readonly group: string;
  readonly region: RegionId;
  readonly epoch: Epoch;
  readonly reason: string;
};

/** How a run came to its end without success, and what the workflow says of it. */
export type Stop = { readonly how: 'failed' | 'timed out' | 'was aborted'; readonly why: string };

/** The failover workflow of a Region, as it is asked about its runs. */
export interface Executions {
  /** Undefined while the run goes on, if it has succeeded, or if nothing is known of it. */
  stopOf(run: string): Promise<Stop | undefined>;
}

/** The failover workflow of this Region. */
export interface Workflow {
  /** Starts an execution under the name `input.run`; a name is used once, for good. */
  start(input: FailoverInput): Promise<'started' | 'exists'>;
}
