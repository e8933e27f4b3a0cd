import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/** The write path of replica stores, tried by a small write through the engine. */
export interface WritePath {
  /** Resolves once a canary is committed in the store of `region`; throws if the store refuses or does not answer. */
  canary(region: RegionId): Promise<void>;
}

/** The engine's own fence around one store: refuses writes of all but Understudy. */
export interface EngineFence {
  /** `unproven`: there is no such fence here, or it cannot be reached. */
  raise(epoch: Epoch): Promise<'raised' | 'unproven'>;
  lower(epoch: Epoch): Promise<void>;
}

/** The failover workflow of this Region. */
export interface Workflow {
  /** Starts an execution under the name `input.run`; a name is used once, for good. */
  start(input: FailoverInput): Promise<'started' | 'exists'>;
}
