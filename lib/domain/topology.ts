import { type RegisterConfig, refuseUnspanned } from '#lib/domain/control/register-config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type GroupId, parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

export type KeyType = 'S' | 'N' | 'B';
export type KeyAttribute = { readonly name: string; readonly type: KeyType };
/** Primary key of a DynamoDB table: partition key, then sort key if there is one. */
export type KeySchema = readonly [KeyAttribute] | readonly [KeyAttribute, KeyAttribute];

export type RegionConfig = {
  readonly name: RegionId;
  /** The Region that this one prefers to be fed from: a cascade. Without it: the leader. */
  readonly follows?: RegionId | undefined;
};

/** One DynamoDB table in each Region. */
export type DynamoEngineConfig = {
  readonly kind: 'dynamodb';
  readonly table: string;
  readonly key: KeySchema;
};

/**
 * What a database refuses by itself once its lease is over: `on` statements that write, `strict` commits, so that no transaction
 * that was open comes through either, `off` nothing.
 */
export const GUARD_MODES = ['off', 'on', 'strict'] as const;
export type GuardMode = (typeof GUARD_MODES)[number];

/** How a session is let into a database: by a secret of Secrets Manager in its Region, by name or ARN, or by IAM's tokens. */
export type LoginConfig = { readonly kind: 'secret'; readonly id: string } | { readonly kind: 'iam' };

/** One PostgreSQL database in each Region. */
export type PostgresEngineConfig = {
  readonly kind: 'postgres';
  /** Where the database of each Region is: `postgres://role@host:port/database`. */
  readonly databases: Readonly<Record<string, string>>;
  /** By Region. Without one, what lets sessions in is a part of the address or of the environment. */
  readonly logins?: Readonly<Record<string, LoginConfig>>;
  /** Who signs the servers' certificates: `rds`, or a file of PEM. Without it, sessions are not encrypted unless the address says so. */
  readonly authority?: string;
  readonly publication: string;
  /** Name of the replication slot in each Region. One that is made anew must have another: see ADR 21. */
  readonly slot: string;
  /** The roles as which applications log in: those that a fence shuts out. */
  readonly applicationRoles?: readonly string[];
  /** Default: `on`. */
  readonly guard?: GuardMode;
};

/** What is replicated. */
export type EngineConfig = DynamoEngineConfig | PostgresEngineConfig;

/** A group as it is configured: alike in every Region; roles are state, not configuration. */
export type GroupConfig<E extends EngineConfig = EngineConfig> = {
  readonly group: GroupId;
  readonly engine: E;
  /** The replicas. */
  readonly regions: readonly RegionConfig[];
  /** Regions without data that vote and accept: two replicas need one. */
  readonly witnesses: readonly RegionId[];
  /** Without it, each Region's control table holds the Region's acceptor. */
  readonly register?: RegisterConfig;
};

/** Who leads which epoch. */
export type Leadership = { readonly epoch: Epoch; readonly leader: RegionId };

/** Who leads, by the control table of a Region, and how that Region stands to it. */
export type Role = Leadership & {
  /**
   * The newest epoch whose log this Region's log and store are known to be a prefix of. While it is below `epoch`,
   * nothing is applied here: what this Region has beyond the common prefix must be saved first (re-attach).
   */
  readonly attached: Epoch;
  /** The epoch that this Region led itself before it lost it, until it is re-attached. */
  readonly led?: Epoch;
};

/** Who leads the newest epoch that any of these Regions has heard of. */
export function newestOf(roles: readonly Leadership[]): Leadership | undefined {
  return roles.toSorted((a, b) => b.epoch - a.epoch)[0];
}

/**
 * Is the log of `self` known to be a prefix of, or to be, the log of the newest leader? One that has not heard of it
 * may hold records that the leader never had; unless it is that leader, lost before it heard: its log was made whole
 * before it was installed.
 */
export function isAttached(role: Role, self: RegionId, newest: Leadership | undefined): boolean {
  return role.attached === role.epoch && (role.epoch === newest?.epoch || newest?.leader === self);
}

/** The role of `self` once `next` leads; `before` is its role so far. */
export function roleAfter(before: Role | undefined, next: Leadership, self: RegionId | undefined): Role {
  if (before === undefined || next.leader === self) return { ...next, attached: next.epoch };
  const led = before.leader === self ? before.epoch : before.led;
  return { ...next, attached: before.attached, ...(led === undefined ? {} : { led }) };
}

/** The Regions that decide by majority: every replica and every witness. */
export function membersOf({ regions, witnesses }: GroupConfig): readonly RegionId[] {
  return [...regions.map(({ name }) => name), ...witnesses];
}

/** The table that a group replicates. Throws CONFIG_INVALID for a group of another engine. */
export function tableOf({ group, engine }: GroupConfig): DynamoEngineConfig {
  if (engine.kind === 'dynamodb') return engine;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `group ${group} replicates no DynamoDB table: its engine is ${engine.kind}`,
    'This is for groups of DynamoDB tables alone.',
  );
}

/** Throws REGIONS_TOO_FEW if the loss of one Region would leave no majority: nobody could be promoted then. */
export function refuseTooFew(group: GroupConfig): void {
  if (membersOf(group).length >= 3) return;
  throw new UnderstudyError(
    'REGIONS_TOO_FEW',
    `${membersOf(group).join(' and ')} cannot outvote each other when one is lost`,
    'Add a third replica, or a Region to witnesses: it votes and holds no data.',
  );
}

/** Checks a group and brands its names. Throws CONFIG_INVALID or CONFIG_REGION_REPEATED. */
export function parseGroup<E extends EngineConfig>(input: {
  group: string;
  engine: E;
  regions: readonly { name: string; follows?: string | undefined }[];
  witnesses?: readonly string[] | undefined;
  register?: RegisterConfig | undefined;
}): GroupConfig<E> {
  const regions = input.regions.map(({ name, follows }) => ({
    name: parseRegionId(name),
    ...(follows === undefined ? {} : { follows: parseRegionId(follows) }),
  }));
  const witnesses = (input.witnesses ?? []).map(parseRegionId);
  const names = new Set(regions.map(({ name }) => name));
  const seen = new Set<RegionId>();
  for (const name of [...regions.map((each) => each.name), ...witnesses]) {
    if (seen.has(name)) {
      throw new UnderstudyError(
        'CONFIG_REGION_REPEATED',
        `Region ${name} is there twice`,
        'Name each Region once, as a replica or as a witness.',
      );
    }
    seen.add(name);
  }
  if (regions.length < 2) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'a group needs two Regions',
      'Add a Region to follow the leader.',
    );
  }
  for (const { name, follows } of regions) {
    if (follows !== undefined && (follows === name || !names.has(follows))) {
      throw new UnderstudyError(
        'CONFIG_INVALID',
        `Region ${name} follows ${follows}, which is not another Region of the group`,
        `Name one of ${[...names].filter((other) => other !== name).join(', ')}.`,
      );
    }
  }
  const group = { group: parseGroupId(input.group), engine: input.engine, regions, witnesses };
  if (input.register === undefined) return group;
  refuseUnspanned(membersOf(group));
  return { ...group, register: input.register };
}

/**
 * Where `region` is fed from while `leader` leads: the Region that it follows by configuration, unless that
 * would make a ring; undefined for the leader itself.
 */
export function upstreamOf(group: GroupConfig, region: RegionId, leader: RegionId): RegionId | undefined {
  if (region === leader) return undefined;
  const preferred = (name: RegionId) => group.regions.find((each) => each.name === name)?.follows;
  const seen = new Set<RegionId>([region]);
  for (let at = preferred(region); at !== undefined && at !== leader; at = preferred(at)) {
    if (seen.has(at)) return leader;
    seen.add(at);
  }
  return preferred(region) ?? leader;
}

/** The Regions that `region` feeds while `leader` leads. */
export function downstreamsOf(group: GroupConfig, region: RegionId, leader: RegionId): readonly RegionId[] {
  return group.regions.map(({ name }) => name).filter((name) => upstreamOf(group, name, leader) === region);
}
