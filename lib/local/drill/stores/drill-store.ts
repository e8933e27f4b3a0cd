import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import { BankStore } from '#lib/local/drill/stores/bank-store.ts';
import { OrdersStore } from '#lib/local/drill/stores/orders-store.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

/** What a Region's store holds: the drill's own writes, how many rows of a user's in each table, and what should never be, a sentence each. */
export type Held = {
  readonly ids: ReadonlySet<string>;
  readonly others: Readonly<Record<string, number>>;
  readonly broken: readonly string[];
};

/** Somebody who writes past every lease, until the store refuses. */
export type Intruder = {
  /**
   * What the store has acknowledged, and when it was heard of, Unix ms; and by the store's own clock, when the rows were written and
   * only the commit was left.
   */
  readonly acknowledged: readonly {
    readonly id: string;
    readonly atMs: number;
    readonly writtenMs: number;
  }[];
  stop(): Promise<void>;
};

/** What a drill does with the stores of an engine. */
export interface DrillStore {
  /** Makes at the leader what the drill's writes are about. */
  begin(leader: RegionId): Promise<void>;
  /** The nth write: its name, and what the application is sent for it. */
  writeOf(n: number): { readonly id: string; readonly body: object };
  /** Makes one write of a user's file of items; one of SQL is run before anything is replicated. */
  load(leader: RegionId, write: Write): Promise<unknown>;
  heldBy(region: RegionId): Promise<Held>;
  /** Names of the drill's writes that are in what a change of a report of what diverged has made. */
  writeIdsOf(change: unknown): readonly string[];
  /** Reads all that a Region's store holds, and holds up its canaries meanwhile by HELD_UP_MS. */
  strain(region: RegionId): Promise<unknown>;
  /** Undefined where nobody writes past the leases in a drill. */
  intrude(region: RegionId): Promise<Intruder | undefined>;
}

/** The drill's stores by the engine of a cloud's group. */
export function drillStore(cloud: EmbeddedCloud, peers: AwsPeers): DrillStore {
  const { engine } = cloud.group;
  switch (engine.kind) {
    case 'dynamodb':
      return new OrdersStore(peers, cloud.resources.endpoints, engine);
    case 'postgres':
      return new BankStore(cloud.resources.endpoints);
  }
}
