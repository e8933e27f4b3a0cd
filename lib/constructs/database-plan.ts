import { Token } from 'aws-cdk-lib';
import type { IDatabaseCluster, IDatabaseInstance } from 'aws-cdk-lib/aws-rds';
import { refuseAuthority } from '#lib/constructs/check-authority.ts';
import { type NetworkPlan, networkOf } from '#lib/constructs/network-plan.ts';
import type { DatabaseHost, DatabaseProps, PostgresEngineProps } from '#lib/constructs/postgres-props.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';
import type { PostgresEngineConfig } from '#lib/domain/topology.ts';

/** Where a layer brings the file of an authority that is not RDS's. */
export const AUTHORITY = { folder: 'understudy', file: 'authority.pem' } as const;

/** What a function must be allowed to be let into the database of a Region. */
export type LoginGrant =
  | { readonly kind: 'secret'; readonly id: string; readonly key: string | undefined }
  | { readonly kind: 'iam'; readonly resourceId: string; readonly role: string };

/** What is to be let in to a database: by its security groups, at its port. */
export type Admission = { readonly securityGroupIds: readonly string[]; readonly port: number };

/** What the props of the databases come to, checked. */
export type DatabasePlan = {
  readonly kind: 'postgres';
  readonly logins: Readonly<Record<string, LoginGrant>>;
  readonly networks: Readonly<Record<string, NetworkPlan>>;
  /** By Region, the security groups of a database that is made in the same app: those of the functions there are let in. */
  readonly admits: Readonly<Record<string, Admission>>;
  /** Of the servers of all Regions. */
  readonly ports: readonly number[];
  readonly authority: string | undefined;
};

/**
 * Checks the props of databases. Throws CONFIG_INVALID that names the prop.
 *
 * @param members every Region of the group; `replicas` those with a database.
 */
export function planDatabases(
  props: PostgresEngineProps,
  replicas: readonly string[],
  members: readonly string[],
): { readonly config: PostgresEngineConfig; readonly plan: DatabasePlan } {
  refuseOthers('engine.databases', props.databases, replicas);
  refuseOthers('engine.network', props.network, members);
  const { publication = 'understudy', slot = 'understudy', applicationRoles, guard, authority } = props;
  if (!/^[a-z0-9_]{1,63}$/.test(slot)) {
    throw invalidProp(
      'engine.slot',
      `${JSON.stringify(slot)} is not the name of a slot`,
      'Use 1 to 63 of a-z, 0-9 and _.',
    );
  }
  if (publication === '' || publication.length > 63) {
    throw invalidProp('engine.publication', 'it is not the name of a publication', 'Use 1 to 63 characters.');
  }
  if (authority !== undefined) refuseAuthority(authority);
  const found = replicas.map((region) => [region, databaseOf(region, props.databases[region]!)] as const);
  const each = <T>(of: (database: Database) => T) =>
    Object.fromEntries(found.map(([region, database]) => [region, of(database)]));
  return {
    config: {
      kind: 'postgres',
      databases: each(({ url }) => url),
      logins: each(({ login }) =>
        login.kind === 'secret' ? { kind: 'secret', id: login.id } : { kind: 'iam' },
      ),
      authority: authority === undefined ? 'rds' : `/opt/${AUTHORITY.folder}/${AUTHORITY.file}`,
      publication,
      slot,
      ...(applicationRoles && { applicationRoles }),
      ...(guard && { guard }),
    },
    plan: {
      kind: 'postgres',
      logins: each(({ login }) => login),
      networks: Object.fromEntries(
        members.map((region) => [region, networkOf(region, props.network[region]!)]),
      ),
      admits: Object.fromEntries(
        found.flatMap(([region, { admission }]) => (admission ? [[region, admission]] : [])),
      ),
      ports: [...new Set(found.map(([, { port }]) => port))].sort((a, b) => a - b),
      authority,
    },
  };
}

type Database = {
  readonly url: string;
  readonly port: number;
  readonly login: LoginGrant;
  readonly admission: Admission | undefined;
};

function databaseOf(region: string, props: DatabaseProps): Database {
  const prop = `engine.databases.${region}`;
  const { admission, host, port, resourceId } = serverOf(region, prop, props);
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host)) {
    throw invalidProp(
      `${prop}.server`,
      `${JSON.stringify(host)} is not the name of a host`,
      'Give the name alone, and the port apart.',
    );
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalidProp(`${prop}.server`, `${port} is not a port`, 'Leave it out for 5432.');
  }
  for (const name of ['database', 'role'] as const) {
    if (props[name].length > 0 && props[name].length <= 63) continue;
    throw invalidProp(`${prop}.${name}`, 'it is no name', 'Use 1 to 63 characters.');
  }
  const url = `postgres://${encodeURIComponent(props.role)}@${host}:${port}/${encodeURIComponent(props.database)}`;
  return { url, port, login: loginOf(region, prop, props, resourceId), admission };
}

/** Where a server is. What is known only once another stack is deployed is not told to other Regions: none may wait for another. */
function serverOf(region: string, prop: string, { address, server }: DatabaseProps) {
  const found = placeOf(server);
  const known = !Token.isUnresolved(found.host) && !Token.isUnresolved(found.port);
  if (known && address !== undefined) {
    throw invalidProp(
      `${prop}.address`,
      'server says where it is',
      'Leave it out: it is for a server that is made in the same app.',
    );
  }
  if (known) return { ...found, host: found.host.toLowerCase(), admission: undefined };
  const made = server as IDatabaseCluster | IDatabaseInstance;
  const { region: where } = made.stack;
  if (!Token.isUnresolved(where) && where !== region) {
    throw invalidProp(`${prop}.server`, `it is made in ${where}`, `Give one of ${region}.`);
  }
  if (address === undefined || Token.isUnresolved(address.host) || Token.isUnresolved(address.port ?? 0)) {
    throw invalidProp(
      `${prop}.address`,
      `where ${made.node.path} is, is known only once it is deployed, and the stacks of other Regions must not wait for it`,
      `Give it as text: deploy ${made.stack.stackName} first, without the group, and read it from aws rds describe-db-clusters or describe-db-instances.`,
    );
  }
  const port = address.port ?? 5432;
  const securityGroupIds = made.connections.securityGroups.map((each) => each.securityGroupId);
  return { ...found, host: address.host.toLowerCase(), port, admission: { securityGroupIds, port } };
}

function placeOf(server: DatabaseProps['server']) {
  if (isHost(server)) return { host: server.host, port: server.port ?? 5432, resourceId: undefined };
  if ('clusterEndpoint' in server) {
    const { hostname, port } = server.clusterEndpoint;
    return { host: hostname, port, resourceId: () => server.clusterResourceIdentifier };
  }
  const port = Number(server.dbInstanceEndpointPort);
  return { host: server.dbInstanceEndpointAddress, port, resourceId: () => server.instanceResourceId };
}

function isHost(server: DatabaseProps['server']): server is DatabaseHost {
  return 'host' in server;
}

function loginOf(
  region: string,
  prop: string,
  { resourceId: given, role, secret, secretKey }: DatabaseProps,
  known: (() => string | undefined) | undefined,
): LoginGrant {
  if (secret !== undefined) {
    if (given !== undefined) {
      throw invalidProp(
        `${prop}.resourceId`,
        'it is for IAM, and a secret is given',
        'Leave one of them out.',
      );
    }
    refuseSecret(region, prop, secret, secretKey);
    return { kind: 'secret', id: secret, key: secretKey };
  }
  if (secretKey !== undefined) {
    throw invalidProp(
      `${prop}.secretKey`,
      'there is no secret that it encrypts',
      'Give secret, or leave it out.',
    );
  }
  const resourceId = given ?? readable(known);
  if (resourceId !== undefined && Token.isUnresolved(resourceId)) {
    throw invalidProp(
      `${prop}.resourceId`,
      'it is known only once the database is deployed, and the stacks of other Regions must not wait for it',
      'Give it as text (cluster-… or db-…, from aws rds describe-db-clusters or describe-db-instances), or a secret by its name.',
    );
  }
  if (resourceId !== undefined && /^(cluster|db|prx)-[A-Za-z0-9]+$/.test(resourceId)) {
    return { kind: 'iam', resourceId, role };
  }
  throw invalidProp(
    `${prop}.resourceId`,
    'nothing says by which id IAM knows the database, and there is no secret',
    'Give it (cluster-… or db-…, from aws rds describe-db-clusters or describe-db-instances), or a secret.',
  );
}

/** A cluster that was imported without its resource id throws when it is asked for it. */
function readable(known: (() => string | undefined) | undefined): string | undefined {
  try {
    return known?.();
  } catch {
    return undefined;
  }
}

function refuseSecret(region: string, prop: string, secret: string, key: string | undefined): void {
  if (Token.isUnresolved(secret) || Token.isUnresolved(key)) {
    throw invalidProp(
      `${prop}.${Token.isUnresolved(secret) ? 'secret' : 'secretKey'}`,
      'it is known only once it is deployed, and the stacks of other Regions must not wait for it',
      'Give it as text: a secret that is made in the same app by the name that it is given (secretName), a key by its ARN.',
    );
  }
  const isName = /^[\w/+=.@-]{1,512}$/.test(secret);
  const arn = /^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):\d{12}:secret:[\w/+=.@-]+-[A-Za-z0-9]{6}$/.exec(
    secret,
  );
  if (!isName && arn === null) {
    throw invalidProp(
      `${prop}.secret`,
      'it is neither the name of a secret nor its complete ARN',
      'Name one that is there already; what is in it goes into no template.',
    );
  }
  if (arn !== null && arn[1] !== region) {
    throw invalidProp(
      `${prop}.secret`,
      `it lies in ${arn[1]}`,
      `Give one in ${region}: a database must not need another Region to let anybody in.`,
    );
  }
  if (key !== undefined && !new RegExp(`^arn:aws[a-z-]*:kms:${region}:\\d{12}:key/[\\w-]+$`).test(key)) {
    throw invalidProp(
      `${prop}.secretKey`,
      `it is not the ARN of a key of ${region}`,
      'Give that of the key, not of an alias.',
    );
  }
}

function refuseOthers(
  prop: string,
  given: Readonly<Record<string, unknown>>,
  regions: readonly string[],
): void {
  const missing = regions.find((region) => given[region] === undefined);
  if (missing !== undefined)
    throw invalidProp(prop, `it says nothing of ${missing}`, `Give it for ${regions.join(', ')}.`);
  const stray = Object.keys(given).find((region) => !regions.includes(region));
  if (stray !== undefined) {
    throw invalidProp(prop, `${stray} has no part in it`, `Give it for ${regions.join(', ')} alone.`);
  }
}
