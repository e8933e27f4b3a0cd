import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { Signer } from '@aws-sdk/rds-signer';
import type { OpenGroup, OpenGroupOptions } from '#functions/engines/open-group.ts';
import { PostgresEngine } from '#functions/engines/postgres-engine.ts';
import { AwsPeers, type GroupResources } from '#lib/aws/aws-peers.ts';
import { trusting } from '#lib/aws/database-authorities.ts';
import { IamLogins } from '#lib/aws/iam-logins.ts';
import { SecretLogins } from '#lib/aws/secret-logins.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { PostgresEngineConfig } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { type Connect, connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import type { Logins } from '#lib/ports/logins.ts';

type Resources = GroupResources & { readonly engine: PostgresEngineConfig };

/** How long Secrets Manager may take, ms: a Region that is lost hangs. */
const SECRET_MS = 3_000;

/** Opens a group of PostgreSQL databases. */
export function openDatabases(resources: Resources, { from, telemetry }: OpenGroupOptions): OpenGroup {
  const known = new Map<RegionId, Connect>();
  // Of a Region without one, such as a witness's, the database is missed only by who wants a session there.
  const connectTo =
    (at: RegionId): Connect =>
    async (options) => {
      const connect = known.get(at) ?? connectorOf(resources, at);
      known.set(at, connect);
      return connect(options);
    };
  const positionsOf = (at: RegionId) => new PostgresCheckpoints(connectTo(at));
  return {
    peers: new AwsPeers(resources, STAMP_ATTRIBUTE, { ...(from && { from }), positionsOf }),
    engine: new PostgresEngine(resources, { connectTo, telemetry }),
  };
}

function connectorOf(resources: Resources, at: RegionId): Connect {
  const url = databaseOf(resources, at);
  const { authority } = resources.engine;
  if (authority === undefined) return connector({ connectionString: url });
  // In parts: what an address says of TLS would go before what is said here.
  const { hostname, password, pathname, port, username } = new URL(url);
  const address = {
    host: hostname,
    port: Number(port || 5432),
    user: decodeURIComponent(username),
    database: decodeURIComponent(pathname.slice(1)),
    ...(password && { password: decodeURIComponent(password) }),
  };
  const logins = loginsOf(resources, at, address);
  let trust: ReturnType<typeof trusting> | undefined;
  return async (options) => {
    trust ??= trusting(authority);
    const ssl = { secureContext: await trust, rejectUnauthorized: true };
    return connector({ ...address, ssl }, logins)(options);
  };
}

type Address = { readonly host: string; readonly port: number; readonly user: string };

/** A secret is read in the Region of its database: where that is lost, there is nothing to be let into. */
function loginsOf(
  { endpoints, engine: { logins } }: Resources,
  region: RegionId,
  { host: hostname, port, user: username }: Address,
): Logins | undefined {
  const login = logins?.[region];
  const { credentials, secrets } = endpoints[region] ?? {};
  const common = { region, ...(credentials && { credentials }) };
  switch (login?.kind) {
    case undefined:
      return undefined;
    case 'secret': {
      const client = new SecretsManagerClient({
        ...common,
        ...(secrets && { endpoint: secrets }),
        maxAttempts: 2,
        requestHandler: { connectionTimeout: 2_000, requestTimeout: SECRET_MS, throwOnRequestTimeout: true },
      });
      return new SecretLogins(client, login.id);
    }
    case 'iam': {
      const signer = new Signer({ ...common, hostname, port, username });
      return new IamLogins(() => signer.getAuthToken(), { now: () => Date.now() });
    }
  }
}

/** Where the database of a Region is. Throws CONFIG_INVALID. */
function databaseOf({ endpoints, engine }: Resources, region: RegionId): string {
  const url = endpoints[region]?.postgres ?? engine.databases[region];
  if (url !== undefined) return url;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `the configuration does not say where the database of ${region} is`,
    `Give engine.databases.${region}, as postgres://role@host:port/database.`,
  );
}
