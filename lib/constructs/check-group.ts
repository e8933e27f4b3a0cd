import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { bucketName } from '#lib/constructs/bucket-name.ts';
import { recordOf, refuseDns } from '#lib/constructs/check-dns.ts';
import { type DrillPlan, drillOf } from '#lib/constructs/check-drill.ts';
import { type DatabasePlan, planDatabases } from '#lib/constructs/database-plan.ts';
import { refuseTable } from '#lib/constructs/engine.ts';
import type { ReplicaProps, ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { refuseUnknownRegions } from '#lib/constructs/known-regions.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';
import { registerOf } from '#lib/constructs/register.ts';
import { type FailoverConfig, parseFailover } from '#lib/domain/control/failover-config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { parseRetention, type RetentionPolicy } from '#lib/domain/retention.ts';
import { type EngineConfig, type GroupConfig, parseGroup } from '#lib/domain/topology.ts';

/** How long a failover waits for the user's hook. */
const HOST_FENCE = Duration.seconds(3);

/** The stores of a group, beyond what every function is told of them. */
export type StorePlan = { readonly kind: 'dynamodb'; readonly existing: boolean } | DatabasePlan;

/** What the props of a group come to, checked. */
export type GroupPlan = {
  readonly config: GroupConfig;
  readonly store: StorePlan;
  readonly failover: FailoverConfig;
  readonly retention: RetentionPolicy;
  readonly drill: DrillPlan | undefined;
};

/**
 * Checks all that synthesis can know of a group. Throws CONFIG_INVALID, CONFIG_REGION_REPEATED or REGIONS_TOO_FEW;
 * the message begins with the prop.
 */
export function planGroupOf(id: string, props: ReplicationGroupProps): GroupPlan {
  const { dns, alarms, hostFence, onLeaseLost, profile = 'balanced' } = props;
  const replicas = props.regions.map((each) => (typeof each === 'string' ? { region: each } : each));
  const witnesses = [props.witness ?? []].flat();
  const group = parseGroupId(props.group ?? id);
  refuseUnknownRegions([
    ...replicas.map(({ region }, index) => ({ prop: `regions[${index}]`, region })),
    ...witnesses.map((region) => ({ prop: 'witness', region })),
  ]);
  refuseMembers(replicas, witnesses);
  const { store, ...planned } = planStore(
    props,
    replicas.map(({ region }) => region),
    witnesses,
  );
  const config = parseGroup({
    group,
    engine: planned.engine,
    regions: replicas.map(({ region, follows }) => ({ name: region, follows })),
    witnesses,
    register: registerOf(props.register, group),
  });
  if (config.engine.kind === 'dynamodb') refuseTable(config.engine, group, config.regions);
  for (const { name } of config.regions) bucketName(group, props.account ?? '000000000000', name);
  if (dns !== undefined) refuseDns(dns, config);
  refuseLock(props);
  const drill = props.drill && drillOf(props.drill);
  for (const [prop, name] of Object.entries(alarms ?? {})) refuseTopic(`alarms.${prop}`, name);
  const failover = parseFailover(
    {
      profile,
      targets: dns?.endpoints ?? {},
      ...(dns && { record: recordOf(dns) }),
      ...(props.countedWrites === true && { countedWrites: true }),
      ...(onLeaseLost && { onLeaseLost }),
      ...(hostFence && {
        hostFence: {
          functions: hostFence.functions,
          timeoutSeconds: (hostFence.timeout ?? HOST_FENCE).toSeconds({ integral: false }),
        },
      }),
      ...optional('priorities', prioritiesOf(replicas)),
      ...optional(
        'noFailover',
        replicas.filter(({ noFailover }) => noFailover).map(({ region }) => region),
      ),
    },
    config.regions,
  );
  return { config, store, failover, retention: parseRetention(props.retention ?? {}), drill };
}

function planStore(
  { engine, onLeaseLost }: ReplicationGroupProps,
  replicas: readonly string[],
  witnesses: readonly string[],
): { readonly engine: EngineConfig; readonly store: StorePlan } {
  if (engine.kind === 'dynamodb') {
    const { existing, key, table } = engine;
    return { engine: { kind: 'dynamodb', table, key }, store: { kind: 'dynamodb', existing } };
  }
  const { config, plan } = planDatabases(engine, replicas, [...replicas, ...witnesses]);
  if (onLeaseLost === 'continue' && config.guard !== 'off') {
    throw invalidProp(
      'onLeaseLost',
      'the lease guard of the databases would refuse the writes that are to go on',
      "Give the engine guard: 'off', or leave it out.",
    );
  }
  return { engine: config, store: plan };
}

function prioritiesOf(replicas: readonly ReplicaProps[]): Readonly<Record<string, number>> {
  const given = replicas.filter(({ priority }) => priority !== undefined);
  return Object.fromEntries(given.map(({ region, priority }) => [region, priority!]));
}

/** A field that is there only if it holds something: templates stay as small as what they say. */
function optional<K extends string, V extends object>(name: K, value: V): { [name in K]?: V } {
  return Object.keys(value).length === 0 ? {} : ({ [name]: value } as { [name in K]: V });
}

/** Throws unless each Region is named once, cascades lead somewhere, and the rest can outvote a Region that is lost. */
function refuseMembers(replicas: readonly ReplicaProps[], witnesses: readonly string[]): void {
  const names = replicas.map(({ region }) => region);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    const prop = `regions[${names.lastIndexOf(twice)}]`;
    throw new UnderstudyError('CONFIG_REGION_REPEATED', `${prop}: ${twice} is there twice`, 'Name it once.');
  }
  const both = witnesses.find((name) => names.includes(name));
  if (both !== undefined) {
    throw invalidProp('witness', `${both} is a replica, too`, 'Name a Region that is not in regions.');
  }
  for (const [index, { region, follows }] of replicas.entries()) {
    if (follows === undefined || (follows !== region && names.includes(follows))) continue;
    throw invalidProp(
      `regions[${index}].follows`,
      `${follows} is not another replica of the group`,
      `Name one of ${names.filter((name) => name !== region).join(', ')}.`,
    );
  }
  if (names.length < 2) {
    throw invalidProp('regions', 'a group needs two replicas', 'Add a Region to follow the leader.');
  }
  if (names.length + witnesses.length < 3) {
    throw new UnderstudyError(
      'REGIONS_TOO_FEW',
      `witness: ${names.join(' and ')} cannot outvote each other when one is lost`,
      'Name a third Region: it votes and holds no data; or add a third replica.',
    );
  }
}

function refuseTopic(prop: string, name: string): void {
  if (/^[a-zA-Z0-9_-]{1,256}$/.test(name)) return;
  throw invalidProp(
    prop,
    `${JSON.stringify(name)} is not the name of an SNS topic`,
    'Give the name alone, not an ARN: each Region uses its own topic of that name.',
  );
}

function refuseLock({ objectLock, removal }: ReplicationGroupProps): void {
  if (objectLock === undefined) return;
  if (removal === RemovalPolicy.DESTROY) {
    throw invalidProp(
      'objectLock',
      'what is locked cannot go with its stack',
      'Leave it out, or leave removal at RETAIN.',
    );
  }
  const days = objectLock.isUnresolved() ? Number.NaN : objectLock.toDays({ integral: false });
  if (Number.isInteger(days) && days >= 1) return;
  throw invalidProp('objectLock', 'S3 locks for whole days', 'Give it one day at least: Duration.days(1).');
}
