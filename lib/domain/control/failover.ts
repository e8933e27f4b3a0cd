import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/** What a failover workflow is started with: small, and readable in the console. */
export type FailoverInput = {
  readonly group: string;
  /** The epoch that is to end. */
  readonly epoch: Epoch;
  readonly kind: 'failover' | 'switchover';
  /** Name of the execution; it marks every effect in the register and the decision log. */
  readonly run: string;
  readonly trigger: 'votes' | 'operator' | 'drill';
  /** The Region that is to lead; without it, the election decides. */
  readonly successor?: RegionId;
  /** Promote even an ineligible replica. Needs a reason. */
  readonly force?: boolean;
  readonly reason?: string;
  /** Wait for a person before the epoch is claimed. */
  readonly approval: boolean;
};

/** Name of the automatic failover of an epoch that a Region starts: the same however often that try is started. */
export function runName(group: string, epoch: Epoch, region: RegionId, tries = 1): string {
  return `${group}-${epoch + 1}-${region}-${tries}`;
}
