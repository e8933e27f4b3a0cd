import { randomUUID } from 'node:crypto';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { AwsDivergences } from '#lib/aws/aws-divergences.ts';
import { AwsHistory } from '#lib/aws/aws-history.ts';
import { AwsItemStore } from '#lib/aws/aws-item-store.ts';
import { AwsLog } from '#lib/aws/aws-log.ts';
import { AwsLogKeeper } from '#lib/aws/aws-log-keeper.ts';
import { CloudWatchAlarms } from '#lib/aws/cloudwatch-alarms.ts';
import type { Endpoints } from '#lib/aws/config.ts';
import { MrscAcceptor } from '#lib/aws/mrsc-acceptor.ts';
import { RegionClients } from '#lib/aws/region-clients.ts';
import { SfnApproval } from '#lib/aws/sfn-approval.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type GroupConfig, tableOf } from '#lib/domain/topology.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import type { ApplyStates, Control, FitnessNotes } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';

/** Names of what a group keeps in each Region. */
export type GroupResources = GroupConfig & {
  readonly logTable: string;
  readonly controlTable: string;
  readonly buckets: Readonly<Record<RegionId, string>>;
  readonly locksSegments?: boolean;
  readonly endpoints: Endpoints;
};

type PeersOptions = {
  /** Where the appliers of a Region keep what they know, if not in its control table. */
  readonly positionsOf?: (region: RegionId) => ApplyStates;
  /**
   * The Region that asks, if any: it reaches an MRSC register by the replica at hand. Whoever is in none asks of each acceptor
   * in that acceptor's own Region, so that the loss of one leaves the others to be asked.
   */
  readonly from?: RegionId;
};

/** Logs, control tables and replicated tables of all Regions of a group; clients are shared and made on first use. */
export class AwsPeers implements GroupPeers {
  readonly #resources: GroupResources;
  readonly #stampAttribute: string;
  readonly #options: PeersOptions;
  readonly #clients = new Map<RegionId, RegionClients>();
  readonly #logs = new Map<RegionId, AwsLog>();

  constructor(resources: GroupResources, stampAttribute: string, options: PeersOptions = {}) {
    this.#resources = resources;
    this.#stampAttribute = stampAttribute;
    this.#options = options;
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

  control(region: RegionId): Control & FitnessNotes {
    const table = this.#controlTable(region);
    const { positionsOf } = this.#options;
    return positionsOf === undefined ? table : withPositions(table, positionsOf(region));
  }

  acceptor(region: RegionId): AcceptorStore {
    const { group, controlTable, register } = this.#resources;
    if (register !== undefined) {
      const { register: dynamodb } = this.clients(this.#options.from ?? region);
      return new MrscAcceptor({ dynamodb, group, table: register.table, region, newNonce: randomUUID });
    }
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

  /** Throws CONFIG_INVALID for a group of another engine than DynamoDB. */
  store(region: RegionId): AwsItemStore {
    return new AwsItemStore({
      dynamodb: this.clients(region).dynamodb,
      ...tableOf(this.#resources),
      stampAttribute: this.#stampAttribute,
      control: this.#controlTable(region),
    });
  }

  #controlTable(region: RegionId): AwsControl {
    const { group, controlTable } = this.#resources;
    return new AwsControl({ dynamodb: this.clients(region).dynamodb, region, group, table: controlTable });
  }

  #logOf(region: RegionId) {
    const { dynamodb, s3 } = this.clients(region);
    const { group, logTable, buckets, locksSegments = false } = this.#resources;
    const small = locksSegments ? { small: 0 } : {};
    return { dynamodb, s3, group, table: logTable, bucket: buckets[region]!, ...small };
  }

  /** Closes all connections. */
  destroy(): void {
    for (const clients of this.#clients.values()) clients.destroy();
  }
}

/** A control table, but for the positions: the store keeps them, so that they move with its data. */
function withPositions(table: Control & FitnessNotes, positions: ApplyStates): Control & FitnessNotes {
  return {
    role: () => table.role(),
    nameLeader: (next) => table.nameLeader(next),
    attach: (epoch) => table.attach(epoch),
    noteFitness: (lane, unfit) => table.noteFitness(lane, unfit),
    async applyState(lane) {
      const [{ unfit }, state] = await Promise.all([table.applyState(lane), positions.applyState(lane)]);
      return { ...state, ...(unfit !== undefined && { unfit }) };
    },
    takeLease: (lane) => positions.takeLease(lane),
    saveApplyState: (lease, state) => positions.saveApplyState(lease, state),
    // Not for a store that keeps its positions: rows that are put back and the note are one transaction there.
    noteRewound: (lease, rewound) => table.noteRewound(lease, rewound),
  };
}
