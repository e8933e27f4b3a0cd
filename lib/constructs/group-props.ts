import type { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { Engine } from '#lib/constructs/engine.ts';
import type { CodeOf } from '#lib/constructs/handler.ts';
import type { Profile } from '#lib/constructs/profile.ts';
import type { Register } from '#lib/constructs/register.ts';
import type { RetentionPolicy } from '#lib/domain/retention.ts';

/** A replica, where its Region's name alone does not say all. */
export type ReplicaProps = {
  /** Its AWS Region, such as `eu-west-1`. */
  readonly region: string;
  /** The Region that it is fed from, where that is not to be the leader: a cascade. */
  readonly follows?: string;
  /** Among equals, the Region of the highest priority is elected. Default: 0. */
  readonly priority?: number;
  /** No election takes it unless it is forced. Default: false. */
  readonly noFailover?: boolean;
};

export type ZoneProps = {
  /** Such as `Z0123456789ABCDEFGHIJ`; no token: a Region must not wait for a stack that makes the zone. */
  readonly hostedZoneId: string;
  /** Such as `example.com`: with it, synthesis can tell whether the record is in the zone. */
  readonly zoneName?: string;
};

export type DnsProps = {
  /** The hosted zone that the record is in: its id and its name, or an imported `IHostedZone`. */
  readonly zone: ZoneProps;
  /** The name by which clients find the leader, such as `orders.example.com`. */
  readonly record: string;
  /** What the record names while a Region leads: a DNS name or an address, for each Region of `regions`. */
  readonly endpoints: Readonly<Record<string, string>>;
  /** How long a resolver may keep an answer. Default: 10 seconds. */
  readonly ttl?: Duration;
  /**
   * How a failover moves the record. `control-plane`: by a call to Route 53, which needs us-east-1. `data-plane`: by
   * health checks, each of which asks one Region's function `leads` whether it leads, every 10 seconds; no call is made.
   * It needs a public zone, endpoints of one form (all names, all IPv4 or all IPv6), and a public URL in each Region.
   * Default: `control-plane`.
   */
  readonly flip?: 'control-plane' | 'data-plane';
};

export type AlarmProps = {
  /** Name of an SNS topic that there is in every Region of the group: it gets every alarm. */
  readonly topic: string;
  /** Name of another, for what somebody is to be woken up for. Default: `topic`. */
  readonly pageTopic?: string;
};

export type HostFenceProps = {
  /** ARN of the function for a Region; it may live in another one, which is best. */
  readonly functions: Readonly<Record<string, string>>;
  /** How long a failover waits for it; at most half of the time after which a silent run is taken over. Default: 3 s. */
  readonly timeout?: Duration;
};

export type DrillProps = {
  /** When: an expression of EventBridge Scheduler, such as `cron(0 10 ? * TUE#1 *)`, the first Tuesday of each month at 10. */
  readonly schedule: string;
  /** The time zone of `schedule`, by its IANA name such as `Europe/Berlin`. Default: `UTC`. */
  readonly timezone?: string;
  /** Who answers for drills taking place without being asked each time: a name, a team, a change. It is in the evidence. */
  readonly approvedBy: string;
  /** How long the evidence is kept, in whole days. Default: 400 days. */
  readonly keep?: Duration;
};

/** What `ReplicationGroup` takes. */
export type ReplicationGroupProps = {
  /** The AWS Regions that hold a replica: two with a witness, or three and more. */
  readonly regions: readonly (string | ReplicaProps)[];
  /** A Region that votes and holds no data, or several: two replicas need one. */
  readonly witness?: string | readonly string[];
  /** What is replicated. */
  readonly engine: Engine;
  /** The record by which clients find the leader. Default: none; clients are told by other means. */
  readonly dns?: DnsProps;
  /**
   * A Lambda function for each Region, by ARN, that stops the hosts there from writing: a failover calls it with
   * `{group, region, epoch, reason}` and waits for `{fenced, detail}`. Default: none.
   */
  readonly hostFence?: HostFenceProps;
  /** What a leader does whose lease is over: `continue` lets its clients write on, which may diverge. Default: `fence`. */
  readonly onLeaseLost?: 'fence' | 'continue';
  /** How soon a silent leader is taken for dead. Default: `Profile.balanced`. */
  readonly profile?: Profile;
  /**
   * What the group agrees by on who leads: `Register.quorum`, the control tables of a majority of its Regions, or
   * `Register.mrsc`, one strongly consistent global table, for three Regions of one Region set of DynamoDB's. It can't be
   * changed once the group has a leader. Default: `Register.quorum`.
   */
  readonly register?: Register;
  /**
   * Whether every application draws its writes from the lease, as the client does: then what a failover may lose has a
   * bound in records, too. Default: false; the bound is one in time.
   */
  readonly countedWrites?: boolean;
  /** How far back each Region's log reaches. Default: 7 days, and 14 for a replica that is behind or away. */
  readonly retention?: Partial<RetentionPolicy>;
  /**
   * A switchover there and back on a schedule: writes pause twice, as in any switchover. The evidence is in the bucket of
   * the Region that leads, `_drills/<group>/<when it was due>/report.json`; see docs/DRILLS.md. Default: none.
   */
  readonly drill?: DrillProps;
  /** Who hears of alarms. Default: nobody; the alarms are there all the same. */
  readonly alarms?: AlarmProps;
  /** Whether each replica's Region has a dashboard of the group: AWS bills 3 $ a month for each. Default: true. */
  readonly dashboard?: boolean;
  /** Name of the group: 3 to 40 characters of a-z, 0-9 and '-'. Default: the construct's id. */
  readonly group?: string;
  /** The AWS account. Default: that of the stage, or the one whose credentials deploy. */
  readonly account?: string;
  /**
   * What becomes of tables, log and control data when a stack is deleted. Default: `RemovalPolicy.RETAIN`, with
   * deletion protection; `DESTROY` is for groups whose data is worth nothing.
   */
  readonly removal?: RemovalPolicy.RETAIN | RemovalPolicy.DESTROY;
  /**
   * Which keys encrypt tables, log and failures: those that AWS manages, or one of the account's own in each Region,
   * `alias/understudy-<group>-data`, at 1 $ a month each. A table that was there before keeps its own, and the table of
   * `Register.mrsc`, which holds no data but who leads, has AWS's. Default: `aws`.
   */
  readonly encryption?: 'aws' | 'customer';
  /**
   * For how long S3 refuses to delete a segment of the log, whoever asks (Object Lock, governance mode). It can be
   * set when a Region is first deployed, and not later. Small segments are objects then, too, and not in the log's table.
   * Default: only retention may delete, at any time.
   */
  readonly objectLock?: Duration;
  /** Where the functions' code comes from. Default: the bundles of this package. */
  readonly code?: CodeOf;
};
