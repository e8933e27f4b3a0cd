import type { LaneId } from '#lib/domain/ids.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import type { Leadership, Role } from '#lib/domain/topology.ts';

/** How far a replica's store has applied a lane. */
export type Applied = {
  readonly lsn: Lsn;
  readonly epoch: Epoch;
  /** Bytes of records in the log up to there. */
  readonly totalBytes: bigint;
  /** Commit time of the newest applied record, Unix ms. */
  readonly commitMs: number;
};

/** The right to apply: a fencing token. Whoever took it last holds it. */
export type ApplyLease = { readonly lane: LaneId; readonly token: number };

/**
 * A copy of the leader's store in progress. copy: rows are read chunk by chunk, with the log applied between
 * chunks. sweep: rows that the copy did not meet are gone at the leader, and are removed. settle: the rows
 * may hold changes that are not applied from the log yet; done once the watermark has been passed.
 */
export type SnapshotProgress = {
  readonly phase: 'copy' | 'sweep' | 'settle';
  /** Where the leader's log ended before the first chunk was read. */
  readonly startLsn: Lsn;
  readonly startEpoch: Epoch;
  /** Where the next chunk begins: opaque to all but the store; absent before the first of a phase. */
  readonly cursor?: string;
  /** The leader's heartbeat when the copy ended, Unix ms of the leader; a later one must be applied. */
  readonly watermarkMs?: number;
  readonly rowsCopied: number;
  /** The leader's own estimate of its rows; may be hours old. */
  readonly rowsEstimated: number;
};

/** Rows that a re-attachment has put back, or was about to put back when it broke off. */
export type Rewound = {
  /** The end of the log to which the store was taken back. */
  readonly to: Lsn;
  /** Of their stamps: a record of this epoch, or of one before it, changes none of them any more. */
  readonly epoch: Epoch;
  readonly lsn: Lsn;
};

/** What the applier of a lane knows: nothing before the first snapshot, then a position. */
export type ApplyState = {
  readonly applied?: Applied;
  readonly snapshot?: SnapshotProgress;
  /**
   * Records up to here are with the store, in a transaction that has no end in the log yet. Never saved: whoever
   * starts anew starts after `applied`.
   */
  readonly pending?: Lsn;
  /** The last rows that were put back, or were about to be; kept until the store is copied anew. */
  readonly rewound?: Rewound;
  /** Why the store could not lead, by what `noteFitness` said last; absent if nothing is known against it. */
  readonly unfit?: string;
};

/** Where a replica keeps what its applier knows. */
export type ApplyStates = Pick<Control, 'applyState' | 'takeLease' | 'saveApplyState'>;

/** A Region's control table. */
export interface Control {
  /** Throws ROLE_UNKNOWN where nobody has been made leader. */
  role(): Promise<Role>;
  /** Names the leader of an epoch, unless one of the same or a later epoch is named already. */
  nameLeader(next: Leadership): Promise<'named' | 'superseded'>;
  /** This Region's log and store have been found, or made, a prefix of the log of `epoch`. */
  attach(epoch: Epoch): Promise<'attached' | 'superseded'>;
  /** Reads without taking the lease. */
  applyState(lane: LaneId): Promise<ApplyState>;
  /** Takes the lease: every earlier token is void from now on. */
  takeLease(lane: LaneId): Promise<{ lease: ApplyLease; state: ApplyState }>;
  /**
   * Moves position and snapshot progress; 'lost' if the lease has gone to somebody else (nothing is written). Leaves
   * `unfit` as it is.
   */
  saveApplyState(lease: ApplyLease, state: ApplyState): Promise<'saved' | 'lost'>;
  /**
   * Notes rows that are about to be put back, and nothing else: said again late, by a retry, it moves no position back.
   * 'lost' as above.
   */
  noteRewound(lease: ApplyLease, rewound: Rewound): Promise<'saved' | 'lost'>;
}

/** Where a Region's sentinel says whether its store could lead: a part of the control table, read with the apply state. */
export interface FitnessNotes {
  /** Notes why it could not, or that nothing is against it. Needs no lease. */
  noteFitness(lane: LaneId, unfit: string | undefined): Promise<void>;
}
