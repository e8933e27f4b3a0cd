import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** NOT_LEADER: a Region takes no writes, and nothing was written. */
export class NotLeaderError extends UnderstudyError {
  /** The Region where writes go on, as far as the one that refuses knows. It takes them only once it holds a lease. */
  readonly leader: RegionId | undefined;

  constructor(what: string, leader: RegionId | undefined) {
    super('NOT_LEADER', what, 'Ask DNS for the leader again; nothing was written.');
    this.leader = leader;
  }
}
