import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { Endpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { DynamoEngineConfig } from '#lib/domain/topology.ts';
import { heartbeatTime } from '#lib/engines/dynamodb/heartbeat.ts';
import { commitTo, Workload, type Write } from '#lib/local/demo/workload.ts';
import type { DrillStore, Held } from '#lib/local/drill/stores/drill-store.ts';
import { HELD_UP_MS } from '#lib/local/drill/stores/strain.ts';
import { holdUpWrites } from '#lib/local/policy/policy-gate.ts';

/** Attribute that holds the name of a write of the drill. */
const WRITE_ID = 'drillId';
/** Number of the first order of a drill: far from what the keys of a user's items may be. */
const FIRST_ORDER = 10 ** 15;

/** Orders in DynamoDB tables: each write is a new item with the table's key. */
export class OrdersStore implements DrillStore {
  readonly #endpoints: Endpoints;
  readonly #peers: AwsPeers;
  readonly #table: string;
  readonly #workload: Workload;

  constructor(peers: AwsPeers, endpoints: Endpoints, { key, table }: DynamoEngineConfig) {
    this.#peers = peers;
    this.#endpoints = endpoints;
    this.#table = table;
    this.#workload = new Workload(key, () => 0.5, FIRST_ORDER);
  }

  async begin(): Promise<void> {}

  writeOf(n: number): { readonly id: string; readonly body: object } {
    let write: Write = this.#workload.next(Date.now());
    while (write.kind !== 'put') write = this.#workload.next(Date.now());
    const id = `write#${n}`;
    return { id, body: { ...write.item, [WRITE_ID]: { S: id } } };
  }

  load(leader: RegionId, write: Write): Promise<unknown> {
    return commitTo(this.#peers.clients(leader).dynamodb, this.#table)(write);
  }

  async heldBy(region: RegionId): Promise<Held> {
    const ids = new Set<string>();
    let others = 0;
    for (let cursor: string | undefined; ; ) {
      const page = await this.#peers.store(region).scan(cursor);
      for (const { item } of page.rows) {
        const id = item[WRITE_ID];
        if (id !== undefined && 'S' in id) ids.add(id.S);
        else if (heartbeatTime(item) === undefined) others += 1;
      }
      cursor = page.cursor;
      if (cursor === undefined)
        return { ids, others: others > 0 ? { [this.#table]: others } : {}, broken: [] };
    }
  }

  writeIdsOf(change: unknown): readonly string[] {
    const { after } = change as { readonly after?: { readonly [WRITE_ID]?: { readonly S?: string } } | null };
    const id = after?.[WRITE_ID]?.S;
    return id === undefined ? [] : [id];
  }

  /** Whoever writes waits meanwhile, a canary, too. */
  async strain(region: RegionId): Promise<void> {
    const untilMs = Date.now() + HELD_UP_MS;
    await holdUpWrites(this.#endpoints[region]!.dynamodb, this.#table, HELD_UP_MS);
    while (Date.now() < untilMs) await this.#peers.store(region).scan(undefined);
  }

  async intrude(): Promise<undefined> {}
}
