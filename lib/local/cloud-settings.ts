import type { GroupResources } from '#lib/aws/aws-peers.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import { alarmMinuteOf } from '#lib/local/cloudwatch/alarm-minute.ts';
import type { LinkSettings } from '#lib/local/link.ts';
import { namesOf } from '#lib/local/provision.ts';
import type { CloudMessage } from '#lib/local/region-processes.ts';

export type CloudOptions = {
  readonly group: GroupConfig;
  /** Leader of epoch 1. */
  readonly leader: RegionId;
  /** Makes the tables of a PostgreSQL group: SQL that is run in the database of each Region before it is replicated. */
  readonly schema?: string;
  /** A file of SQL with tables of a user's that is run after it. The rows stay at the leader alone: the others get them from there. */
  readonly sqlFile?: string;
  /** How the links between Regions differ from the default (40 ms each way). */
  readonly link?: Partial<LinkSettings>;
  /** Without it, nobody watches the leader: there are no beats, no DNS and no applications. */
  readonly failover?: {
    readonly profile: Profile['name'];
    /** How long a resolver may keep an answer, and how long DNS takes to take a change over. */
    readonly ttlSeconds: number;
    readonly propagationMs: number;
    /** With `data-plane`, health checks move the record; how often they ask, ms: without it, as Route 53's do. */
    readonly flip?: NonNullable<RecordConfig['flip']>;
    readonly healthIntervalMs?: number;
    /** A module with a function `fence`, by its URL: the hook that fences the hosts of a Region. */
    readonly hostFence?: URL;
    readonly onLeaseLost?: 'fence' | 'continue';
  };
  /** How long a minute of the alarms takes, ms; without it, as `alarmMinuteOf` says. */
  readonly alarmMinuteMs?: number;
  readonly onMessage?: (message: CloudMessage) => void;
  /** Hears what the start is at, for people. */
  readonly onStep?: (step: string) => void;
  /** Gives up the start: nothing is left behind, and it fails with the signal's reason. */
  readonly signal?: AbortSignal;
};

/** Zone of the group's record. */
export const ZONE = 'understudy.internal';

export const CREDENTIALS = { accessKeyId: '000000000000', secretAccessKey: 'embedded' };
/** An application is somebody else than Understudy: a fence tells them apart. */
export const APPLICATION = { accessKeyId: 'APPLICATION', secretAccessKey: 'embedded' };
export const ROLE = 'arn:aws:iam::000000000000:role/understudy';

/** What follows from the options of an embedded cloud alone: names, and the configuration of its functions. */
export class CloudSettings {
  readonly options: CloudOptions;

  constructor(options: CloudOptions) {
    this.options = options;
  }

  get group(): GroupConfig {
    return this.options.group;
  }

  get hasFailover(): boolean {
    return this.options.failover !== undefined;
  }

  /** Throws if the cloud has none. */
  get failover(): NonNullable<CloudOptions['failover']> {
    if (this.options.failover === undefined) throw new Error('the cloud has no failover');
    return this.options.failover;
  }

  /** Health checks move the record. */
  get flips(): boolean {
    return this.options.failover?.flip === 'data-plane';
  }

  get profile(): Profile {
    return PROFILES[this.options.failover?.profile ?? 'balanced'];
  }

  get alarmMinuteMs(): number {
    return this.options.alarmMinuteMs ?? alarmMinuteOf(this.hasFailover ? this.profile : PROFILES.fast);
  }

  get recordName(): string {
    return `${this.group.group}.${ZONE}`;
  }

  /** What DNS calls a Region's application. */
  targetOf(region: RegionId): string {
    return `${region}.${this.recordName}`;
  }

  recordConfig(zoneId: string): RecordConfig {
    const { flip, ttlSeconds } = this.failover;
    return { zoneId, name: this.recordName, ttlSeconds, ...(flip && { flip }) };
  }

  names() {
    const { logTable, controlTable } = namesOf(this.group, '');
    const buckets = Object.fromEntries(
      this.group.regions.map(({ name }) => [name, namesOf(this.group, name).bucket]),
    ) as GroupResources['buckets'];
    return { logTable, controlTable, buckets };
  }

  /** The configuration of the functions of a Region. */
  configOf(
    region: RegionId,
    made: { readonly queueUrl: string | undefined; readonly zoneId: string | undefined },
  ) {
    const { buckets, logTable, controlTable } = this.names();
    return {
      ...this.group,
      region,
      regions: this.group.regions.map((each) => ({ ...each, bucket: buckets[each.name] })),
      logTable,
      controlTable,
      failureQueueUrl: made.queueUrl,
      drill: { approvedBy: 'whoever runs the embedded cloud' },
      // Two in each minute of the alarms, as on AWS.
      reportMs: Math.ceil(this.alarmMinuteMs / 2),
      ...(made.zoneId !== undefined && { failover: this.#failoverConfig(made.zoneId) }),
    };
  }

  #failoverConfig(zoneId: string) {
    const { onLeaseLost, profile } = this.failover;
    return {
      profile,
      fence: { exempt: [ROLE] },
      ...(onLeaseLost && { onLeaseLost }),
      record: this.recordConfig(zoneId),
      // A leader that goes on without a lease keeps to no bound.
      countedWrites: onLeaseLost !== 'continue',
      targets: Object.fromEntries(this.group.regions.map(({ name }) => [name, this.targetOf(name)])),
    };
  }
}
