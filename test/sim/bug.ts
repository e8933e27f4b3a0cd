import type { LeaderLease, LeaderLeaseDeps } from '#lib/client/leader-lease.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { AcceptorStore, Acceptors } from '#lib/ports/acceptor-store.ts';
import type { Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { LeaderRecord } from '#lib/ports/leader-record.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { ReattachDeps } from '#lib/usecases/control/reattach.ts';
import type { Sentinel, SentinelDeps } from '#lib/usecases/control/sentinel.ts';
import type { SurveyDeps } from '#lib/usecases/control/survey.ts';
import type { SimStore } from './store.ts';
import type { Steps } from './workflow-twin.ts';

/** A sentinel as the simulator sees one. */
export type SentinelLike = Pick<Sentinel, 'tick' | 'leaseLeftMs'> & Partial<Pick<Sentinel, 'pauseMs'>>;

/** What can be put around, or in place of, a part of the system: each hook is given the sound one. */
export type Hooks = {
  /**
   * The item of a Region. `onCrash` is run whenever that Region's sentinel dies. `neighbour` is the item of another group in
   * the same table.
   */
  readonly acceptor?: (
    sound: AcceptorStore,
    onCrash: (run: () => void) => void,
    neighbour: AcceptorStore,
  ) => AcceptorStore;
  /** The acceptors as a process reaches them. */
  readonly acceptors?: (sound: Acceptors, region: RegionId) => Acceptors;
  readonly log?: (sound: ReplicaLog) => ReplicaLog;
  readonly control?: (sound: Control) => Control;
  readonly store?: (sound: SimStore) => SimStore;
  readonly record?: (sound: LeaderRecord) => LeaderRecord;
  readonly chance?: () => string;
  readonly lease?: (deps: LeaderLeaseDeps) => Pick<LeaderLease, 'write'>;
  readonly sentinel?: (make: (deps: SentinelDeps) => Sentinel, deps: SentinelDeps) => SentinelLike;
  readonly steps?: (sound: Steps) => Partial<Steps>;
  /** What `plan` reads; `log` reaches the whole port. */
  readonly survey?: (sound: SurveyDeps, log: (region: RegionId) => ReplicaLog) => SurveyDeps;
  /** What a follower's sentinel reads to tell its lag. */
  readonly lag?: (sound: GroupPeers) => GroupPeers;
  readonly reattach?: (deps: ReattachDeps) => ReattachDeps;
};

export type Bug = Hooks & {
  readonly name: string;
  /** The rule that it breaks. */
  readonly breaks: string;
  /** Seeds that have found it: tried first. */
  readonly seeds: readonly number[];
};
