import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';

/**
 * A record in a hosted zone. `flip`: a failover changes it by Route 53's control plane (also where it is not given), or
 * Route 53's health checks choose from sets that were made before, one for each Region.
 */
export type RecordConfig = {
  readonly zoneId: string;
  readonly name: string;
  readonly ttlSeconds: number;
  readonly flip?: 'control-plane' | 'data-plane';
};

/** How a group fails over, as it is configured: alike in every Region. */
export type FailoverConfig = {
  readonly profile: Profile['name'];
  /** The DNS record by which clients find the leader; without it, they are told by other means. */
  readonly record?: RecordConfig;
  /** What the record names while a Region leads: a DNS name or an address. */
  readonly targets: Readonly<Record<RegionId, string>>;
  /** Among equals, the Region of the highest priority is elected; 0 where none is given. */
  readonly priorities?: Readonly<Record<RegionId, number>>;
  /** Regions that no election takes unless it is forced. */
  readonly noFailover?: readonly RegionId[];
  /** Every application draws its writes from the lease, as lib/client does, so that a loss has a bound in records. */
  readonly countedWrites?: boolean;
  /** What a leader does whose lease is over: refuse writes (`fence`, also where it is not given), or go on and diverge. */
  readonly onLeaseLost?: 'fence' | 'continue';
  /** The user's own fence of hosts: a function for each Region, by ARN, and how long a failover waits for it. */
  readonly hostFence?: {
    readonly functions: Readonly<Record<RegionId, string>>;
    readonly timeoutSeconds: number;
  };
};

type Input = Omit<FailoverConfig, 'targets' | 'priorities' | 'noFailover' | 'hostFence'> & {
  readonly hostFence?: {
    readonly functions: Readonly<Record<string, string>>;
    readonly timeoutSeconds: number;
  };
  readonly targets: Readonly<Record<string, string>>;
  readonly priorities?: Readonly<Record<string, number>>;
  readonly noFailover?: readonly string[];
};

/** Checks the failover section of a group with these replicas, and brands its names. Throws CONFIG_INVALID. */
export function parseFailover(input: Input, regions: readonly { readonly name: RegionId }[]): FailoverConfig {
  const { hostFence, targets, priorities = {}, noFailover = [] } = input;
  const hooks = Object.keys(hostFence?.functions ?? {});
  const known = new Set(regions.map(({ name }) => name));
  for (const name of [...Object.keys(targets), ...Object.keys(priorities), ...noFailover, ...hooks]) {
    if (!known.has(parseRegionId(name))) {
      throw invalid(
        `failover names ${name}, which is not a replica of the group`,
        `Use one of ${[...known].join(', ')}.`,
      );
    }
  }
  const missing = [...known].find((name) => targets[name] === undefined);
  if (input.record !== undefined && missing !== undefined) {
    throw invalid(
      `failover.targets does not say what ${input.record.name} is to name while ${missing} leads`,
      `Give ${missing} the name or the address of the application's endpoint there.`,
    );
  }
  if (input.onLeaseLost === 'continue' && input.countedWrites === true) {
    throw invalid(
      'failover.onLeaseLost is continue, but countedWrites promises a bound to what a failover may lose, and a leader that goes on without a lease keeps to none',
      'Leave one of them out: onLeaseLost: fence keeps the bound, and without countedWrites a leader may go on.',
    );
  }
  if (input.record?.flip === 'data-plane' && input.onLeaseLost === 'continue') {
    throw invalid(
      'failover.record.flip is data-plane: DNS follows the lease, and onLeaseLost is continue: a leader goes on without one',
      'Leave onLeaseLost out, or let a failover change the record: flip control-plane.',
    );
  }
  const { takeoverMs } = PROFILES[input.profile];
  if (hostFence !== undefined && hostFence.timeoutSeconds * 1000 > takeoverMs / 2) {
    throw invalid(
      `failover.hostFence.timeoutSeconds is ${hostFence.timeoutSeconds}, and a run that is silent for ${takeoverMs / 1000} s is taken over`,
      `Give at most ${takeoverMs / 2000}, or another profile.`,
    );
  }
  return input as FailoverConfig;
}

function invalid(what: string, next: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', what, next);
}
