import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { AwsDivergences } from '#lib/aws/aws-divergences.ts';
import { AwsHistory } from '#lib/aws/aws-history.ts';
import { AwsItemStore } from '#lib/aws/aws-item-store.ts';
import { AwsLog } from '#lib/aws/aws-log.ts';
import { AwsLogKeeper } from '#lib/aws/aws-log-keeper.ts';
import { CloudWatchAlarms } from '#lib/aws/cloudwatch-alarms.ts';
import type { Endpoints } from '#lib/aws/config.ts';
import { RegionClients } from '#lib/aws/region-clients.ts';
import { SfnApproval } from '#lib/aws/sfn-approval.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';

/** Names of what a group keeps in each Region. */
export type GroupResources = GroupConfig & {
  readonly logTable: string;
  readonly controlTable: string;
  readonly buckets: Readonly<Record<RegionId, string>>;
  readonly endpoints: Endpoints;
};

/** Logs, control tables and replicated tables of all Regions of a group; clients are shared and made on first use. */
export class AwsPeers implements GroupPeers {
  readonly #resources: GroupResources;
  readonly #stampAttribute: string;
  readonly #clients = new Map<RegionId, RegionClients>();
  readonly #logs = new Map<RegionId, AwsLog>();

  constructor(resources: GroupResources, stampAttribute: string) {
    this.#resources = resources;
    this.#stampAttribute = stampAttribute;
  }

  clients(region: RegionId): RegionClients {
    const clients = this.#clients.get(region) ?? new RegionClients(region, this.#resources.endpoints);
    this.#clients.set(region, clients);
    return clients;
  }

  log(region: RegionId): AwsLog {
    // One for all: it remembers in which generation it has found the last segment.
    const log = this.#logs.get(region) ?? new AwsLog(this.#logOf(region));
    this.#logs.set(region, log);
    return log;
  }

  keeper(region: RegionId): AwsLogKeeper {
    return new AwsLogKeeper(this.#logOf(region));
  }

  control(region: RegionId): AwsControl {
    const { group, controlTable } = this.#resources;
    return new AwsControl({ dynamodb: this.clients(region).dynamodb, region, group, table: controlTable });
  }

  acceptor(region: RegionId): AwsAcceptor {
    const { group, controlTable } = this.#resources;
    return new AwsAcceptor({ dynamodb: this.clients(region).dynamodb, group, table: controlTable });
  }

  divergences(region: RegionId): AwsDivergences {
    return new AwsDivergences({ ...this.#logOf(region), table: this.#resources.controlTable });
  }

  history(region: RegionId): AwsHistory {
    const { group, controlTable } = this.#resources;
    return new AwsHistory({ dynamodb: this.clients(region).dynamodb, group, table: controlTable });
  }

  approvals(region: RegionId): SfnApproval {
    const { dynamodb, sfn } = this.clients(region);
    const { group, controlTable } = this.#resources;
    return new SfnApproval({ dynamodb, sfn, group, table: controlTable });
  }

  alarms(region: RegionId): CloudWatchAlarms {
    return new CloudWatchAlarms({
      cloudwatch: this.clients(region).cloudwatch,
      group: this.#resources.group,
    });
  }

  store(region: RegionId): AwsItemStore {
    return new AwsItemStore({
      dynamodb: this.clients(region).dynamodb,
      table: this.#resources.table,
      key: this.#resources.key,
      stampAttribute: this.#stampAttribute,
      control: this.control(region),
    });
  }

  #logOf(region: RegionId) {
    const { dynamodb, s3 } = this.clients(region);
    const { group, logTable, buckets } = this.#resources;
    return { dynamodb, s3, group, table: logTable, bucket: buckets[region]! };
  }

  /** Closes all connections. */
  destroy(): void {
    for (const clients of this.#clients.values()) clients.destroy();
  }
}
