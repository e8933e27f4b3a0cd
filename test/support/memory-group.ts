import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { type GroupConfig, parseGroup } from '#lib/domain/topology.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { E1, GROUP } from './log-history.ts';
import { RecordedTelemetry } from './recorded-telemetry.ts';
import { PK } from './stream-records.ts';

export const [EU, US, AP, SA] = [
  'eu-west-1',
  'us-east-1',
  'ap-southeast-2',
  'sa-east-1',
] as unknown as readonly [RegionId, RegionId, RegionId, RegionId];

/** A group's logs and control tables in memory. A log may be replaced by one that misbehaves, as seen by others. */
export class MemoryGroup implements GroupPeers {
  readonly config: GroupConfig;
  readonly telemetry = new RecordedTelemetry();
  /** How a Region's log is reached, where that is not as it is. */
  readonly reached = new Map<RegionId, ReplicaLog>();
  readonly #logs = new Map<RegionId, MemoryLog>();
  readonly #controls = new Map<RegionId, MemoryControl>();

  constructor(
    regions: readonly { readonly name: RegionId; readonly follows?: RegionId }[],
    witnesses: readonly RegionId[] = [],
  ) {
    this.config = parseGroup({
      group: GROUP,
      engine: { kind: 'dynamodb', table: 'orders', key: PK },
      regions,
      witnesses,
    });
    for (const { name } of regions) {
      this.#logs.set(name, new MemoryLog(GROUP));
      this.#controls.set(name, new MemoryControl(name));
    }
  }

  /** Tells every Region who leads. */
  async lead(leader: RegionId, epoch: Epoch = E1): Promise<this> {
    for (const control of this.#controls.values()) await control.nameLeader({ leader, epoch });
    return this;
  }

  log(region: RegionId): ReplicaLog {
    return this.reached.get(region) ?? this.own(region);
  }

  /** The log as it is. */
  own(region: RegionId): MemoryLog {
    return this.#logs.get(region)!;
  }

  control(region: RegionId): MemoryControl {
    return this.#controls.get(region)!;
  }

  /** What the use cases of a Region need of the group. */
  deps(region: RegionId) {
    return {
      group: this.config,
      region,
      peers: this,
      control: this.control(region),
      telemetry: this.telemetry,
    };
  }
}
