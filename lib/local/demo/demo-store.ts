import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { BankDemo } from '#lib/local/demo/bank-demo.ts';
import type { LagProbe } from '#lib/local/demo/lag-probe.ts';
import { OrdersDemo } from '#lib/local/demo/orders-demo.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

/** What the demo does with the stores of an engine. */
export interface DemoStore {
  /** Makes one write of a user's file. */
  load(write: Write): Promise<unknown>;
  /** Makes the next write of a synthetic load at the leader; resolves once it is acknowledged. */
  write(): Promise<unknown>;
  /** Watches a follower's store. */
  probe(region: RegionId): Promise<LagProbe>;
  /** What was seen in the followers that no reader of the leader could ever have seen, a sentence each. */
  torn(): readonly string[];
  close(): Promise<void>;
}

/** The demo's stores by the engine of a cloud's group. */
export async function demoStore(cloud: EmbeddedCloud, peers: AwsPeers, leader: RegionId): Promise<DemoStore> {
  const { engine } = cloud.group;
  switch (engine.kind) {
    case 'dynamodb':
      return new OrdersDemo(peers, leader, engine);
    case 'postgres':
      return BankDemo.open(cloud.resources.endpoints, leader);
  }
}
