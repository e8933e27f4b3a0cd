import type { Epoch } from '#lib/domain/lsn.ts';

/** What DNS says of a group's leader. `target` is a DNS name or an address. */
export type LeaderInDns = { readonly epoch: Epoch; readonly target: string };

/** What became of a flip. Only `submitted` has changed anything. */
export type FlipOutcome =
  /** Taken by DNS's control plane; `change` is asked for with `status`. */
  | { readonly kind: 'submitted'; readonly change: string }
  /** The record names this epoch and target already: most often by an earlier try of the same flip. */
  | { readonly kind: 'already' }
  /** The record is not what the plan was made from: it names `now`; undefined if there is none, or a person changed it. */
  | { readonly kind: 'stale'; readonly now: LeaderInDns | undefined };

/**
 * The DNS record by which clients find the leader, and the epoch beside it. Its epoch never goes back; once
 * made, it is never empty and never names a target outside the inventory.
 */
export interface LeaderRecord {
  /**
   * What DNS's control plane holds, in sync or not; undefined if there is no record yet. Throws
   * DNS_RECORD_FOREIGN if a person changed it by hand: an address without an epoch or an epoch without an
   * address, an epoch record of unknown form, two that disagree, a target outside the inventory.
   */
  read(): Promise<LeaderInDns | undefined>;
  /**
   * Compare-and-set from what `read` returned to `to`, whose epoch must be higher (else `stale`). Throws
   * DNS_TARGET_UNKNOWN for a target outside the inventory, and DNS_THROTTLED.
   */
  flip(from: LeaderInDns | undefined, to: LeaderInDns): Promise<FlipOutcome>;
  /** Whether every server of the zone answers with the change. It says nothing of caches, which hold for a TTL. */
  status(change: string): Promise<'pending' | 'in-sync'>;
}
