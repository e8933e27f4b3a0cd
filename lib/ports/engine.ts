import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Leadership, Role } from '#lib/domain/topology.ts';
import type { CaptureEngine } from '#lib/ports/capture-engine.ts';
import type { ChangeSource } from '#lib/ports/change-source.ts';
import type { ChangeStream } from '#lib/ports/change-stream.ts';
import type { DigestSource, PairedDigests, Stray } from '#lib/ports/digest-source.ts';
import type { WayBack } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { ReplicaStore } from '#lib/ports/replica-store.ts';
import type { EngineFence, StoreLease } from '#lib/ports/sentinel-ports.ts';

/** How changes leave a store: an event source brings them shard by shard, or somebody reads them from where they wait. */
export type Changes =
  | {
      readonly kind: 'delivered';
      readonly engine: CaptureEngine<unknown>;
      /** ARN of the stream of a Region's store. */
      streamArn(at: RegionId): Promise<string>;
    }
  | {
      readonly kind: 'fetched';
      readonly engine: CaptureEngine<unknown>;
      /** What waits at a Region's store. At its leader the source waits for changes; elsewhere it ends when there is none. */
      source(at: RegionId, role: Role): ChangeSource<unknown>;
    };

/** The stores of a group, one in each Region, by what they are: whatever depends on that is here. */
export interface Engine {
  readonly changes: Changes;
  /** The store of `at` as a follower of `leader`. */
  replica(at: RegionId, leader: RegionId): ReplicaStore;
  /** The way back of the store of `at`, to follow `leader`. */
  rewinder(at: RegionId, leader: RegionId): WayBack;
  fence(at: RegionId): EngineFence;
  /** By what it is proven that the writes of the store of `at` are logged. */
  stream(at: RegionId): ChangeStream;
  digest(at: RegionId): DigestSource;
  /** The stores of a leader and of a follower at one position; undefined where each can only be read as it is just then. */
  pair?(leader: Leadership, at: RegionId, log: (at: RegionId) => ReplicaLog): Promise<PairedDigests>;
  /**
   * What the store of a follower has that its leader no longer keeps up, as both are just now; undefined where there can be
   * nothing of the kind. Throws where one of them does not answer.
   */
  strays?(leader: Leadership, at: RegionId): Promise<readonly Stray[]>;
  /**
   * A heartbeat of a moment, Unix ms: a small write through the store, which goes the way of users' changes. Resolves once
   * it is committed; throws if the store refuses or does not answer.
   *
   * @param lease renewed with it, where the store guards itself.
   * @returns a moment of the store's own clock between call and answer, Unix ms; undefined where it keeps no lease.
   */
  beat(at: RegionId, atMs: number, lease?: StoreLease): Promise<number | undefined>;
  /**
   * What a store needs before the first write that it takes as the leader of an epoch, once its log is applied; may be
   * called again. Throws if it is not done.
   */
  makeReady(at: RegionId, epoch: Epoch): Promise<void>;
  /** Throws an UnderstudyError that says why the store of `at` could not lead. */
  checkFitness(at: RegionId): Promise<void>;
  /** Ends all sessions. */
  close(): Promise<void>;
}
