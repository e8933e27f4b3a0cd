import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { canonicalTarget, parseTarget } from '#lib/aws/dns-target.ts';
import { MrscAcceptor } from '#lib/aws/mrsc-acceptor.ts';
import type { ClientEvent, LeaderClientOptions } from '#lib/client/leader-client.ts';
import { LeaderFinder } from '#lib/client/leader-finder.ts';
import { LeaderLease } from '#lib/client/leader-lease.ts';
import { ACROSS, AT_HAND } from '#lib/domain/control/application-lease.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';

/**
 * The group that an application writes to. `endpoints`: what the name stands for while a Region leads, for each Region: the
 * group's `dns.endpoints`. Without it, that begins with the Region: `eu-west-1.orders.example.com`. `controlTable`:
 * `understudy-<group>-control` if absent. `registerTable`: the table of `Register.mrsc`, where the group has that register.
 */
export type GroupOptions = {
  readonly group: string;
  readonly name: string;
  readonly ttlSeconds: number;
  readonly endpoints?: Readonly<Record<string, string>>;
  readonly controlTable?: string;
  readonly registerTable?: string;
  readonly onEvent?: (event: ClientEvent) => void;
};

/** What a client needs to know of the Regions of a group. */
export type GroupSites = Pick<LeaderClientOptions<unknown>, 'now' | 'onEvent' | 'sleep' | 'targetOf'> & {
  readonly finder: LeaderFinder;
  /** The Region that a target of the record stands for. Throws DNS_TARGET_UNKNOWN. */
  readonly regionOf: (target: string) => RegionId;
  /** A way to DynamoDB there, and the lease by it. */
  readonly openLease: (region: RegionId) => {
    readonly dynamodb: DynamoDBClient;
    readonly lease: LeaderLease;
  };
};

/** Throws CONFIG_INVALID. */
export function groupSites(options: GroupOptions): GroupSites {
  const { endpoints, name, onEvent, registerTable, ttlSeconds } = options;
  const group = parseGroupId(options.group);
  const table = options.controlTable ?? `understudy-${group}-control`;
  const times = registerTable === undefined ? AT_HAND : ACROSS;
  const wait = (ms: number) => sleep(ms);
  const clock = { now: () => Date.now(), steadyMs: () => performance.now() };
  return {
    finder: new LeaderFinder({ name, ttlSeconds, now: clock.now }),
    regionOf: regionsOf(name, endpoints),
    openLease: (region) => {
      // What a Region that hangs was asked must end some time: the look at its lease is asked again only after that.
      const requestHandler = { connectionTimeout: 1_000, requestTimeout: 2_000, throwOnRequestTimeout: true };
      const dynamodb = new DynamoDBClient({ region, maxAttempts: 1, requestHandler });
      const acceptor =
        registerTable === undefined
          ? new AwsAcceptor({ dynamodb, group, table })
          : new MrscAcceptor({ dynamodb, group, table: registerTable, region, newNonce: randomUUID });
      return { dynamodb, lease: new LeaderLease({ region, acceptor, clock, sleep: wait, times }) };
    },
    targetOf: (leader, target) =>
      endpoints === undefined ? siblingOf(leader, target) : canonicalTarget(endpoints[leader] ?? target),
    now: clock.now,
    sleep: wait,
    ...(onEvent && { onEvent }),
  };
}

/** The Region that a target of the record stands for. */
function regionsOf(
  name: string,
  endpoints: Readonly<Record<string, string>> | undefined,
): (target: string) => RegionId {
  if (endpoints === undefined) return (target) => firstLabelOf(name, target);
  const regions = new Map(
    Object.entries(endpoints).map(([region, target]) => [parseTarget(target), parseRegionId(region)]),
  );
  return (target) => {
    const region = regions.get(canonicalTarget(target));
    if (region !== undefined) return region;
    throw unknownTarget(
      `${name} stands for ${target}, which is none of ${[...regions.keys()].join(', ')}`,
      "Give the client the same endpoints as the group's dns.endpoints.",
    );
  };
}

function firstLabelOf(name: string, target: string): RegionId {
  try {
    return parseRegionId(target.split('.')[0]!);
  } catch {
    throw unknownTarget(
      `${name} stands for ${target}, which does not begin with a Region`,
      "Give the client the group's dns.endpoints, as endpoints.",
    );
  }
}

function unknownTarget(what: string, next: string): UnderstudyError {
  return new UnderstudyError('DNS_TARGET_UNKNOWN', what, next);
}

/** What DNS calls `region`, in a group whose `target` begins with the Region that it stands for. */
export function siblingOf(region: RegionId, target: string): string {
  return `${region}${target.slice(target.indexOf('.'))}`;
}
