import * as z from 'zod';
import { type FailoverConfig, parseFailover } from '#lib/domain/control/failover-config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseRetention, type RetentionPolicy } from '#lib/domain/retention.ts';
import {
  type EngineConfig,
  type GroupConfig,
  GUARD_MODES,
  membersOf,
  parseGroup,
} from '#lib/domain/topology.ts';

/** Time between two reports of a Region's figures: two in each minute that an alarm looks at. */
const REPORT_MS = 30_000;

const keyAttribute = z.object({ name: z.string().min(1), type: z.enum(['S', 'N', 'B']) });

const failoverSchema = z.object({
  profile: z.enum(['fast', 'balanced', 'cautious']).default('balanced'),
  stateMachineArn: z.string().startsWith('arn:').exactOptional(),
  record: z
    .object({
      zoneId: z.string().min(1),
      name: z.string().min(1),
      ttlSeconds: z.int().positive(),
      flip: z.enum(['control-plane', 'data-plane']).exactOptional(),
    })
    .exactOptional(),
  targets: z.record(z.string(), z.string()).default({}),
  priorities: z.record(z.string(), z.number()).exactOptional(),
  noFailover: z.array(z.string()).exactOptional(),
  countedWrites: z.boolean().exactOptional(),
  onLeaseLost: z.enum(['fence', 'continue']).exactOptional(),
  hostFence: z
    .object({
      functions: z.record(z.string(), z.string().startsWith('arn:')),
      timeoutSeconds: z.number().positive(),
    })
    .exactOptional(),
  fence: z
    .object({ exempt: z.array(z.string().startsWith('arn:')).min(1), probe: z.string().exactOptional() })
    .exactOptional(),
});

const retentionSchema = z.object({
  days: z.number().exactOptional(),
  maxBytes: z.number().exactOptional(),
  restoreWindowDays: z.number().exactOptional(),
  holdDays: z.number().exactOptional(),
  graceHours: z.number().exactOptional(),
});

const login = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('secret'), id: z.string().min(1) }),
  z.object({ kind: z.literal('iam') }),
]);

const engineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('dynamodb'),
    table: z.string().min(3),
    key: z.union([z.tuple([keyAttribute]), z.tuple([keyAttribute, keyAttribute])]),
  }),
  z.object({
    kind: z.literal('postgres'),
    databases: z.record(z.string(), z.url({ protocol: /^postgres(ql)?$/ })),
    logins: z.record(z.string(), login).exactOptional(),
    authority: z.string().min(1).exactOptional(),
    publication: z.string().min(1).max(63),
    slot: z.string().regex(/^[a-z0-9_]{1,63}$/),
    applicationRoles: z.array(z.string().min(1).max(63)).exactOptional(),
    guard: z.enum(GUARD_MODES).exactOptional(),
  }),
]);

const schema = z.object({
  group: z.string(),
  region: z.string(),
  engine: engineSchema,
  regions: z.array(
    z.object({ name: z.string(), bucket: z.string().min(3), follows: z.string().exactOptional() }),
  ),
  logTable: z.string().min(3),
  witnesses: z.array(z.string()).default([]),
  register: z.object({ kind: z.literal('mrsc'), table: z.string().min(3) }).exactOptional(),
  controlTable: z.string().min(3),
  failureQueueUrl: z.url().exactOptional(),
  failover: failoverSchema.prefault({}),
  retention: retentionSchema.prefault({}),
  captureFunction: z.string().min(1).exactOptional(),
  locksSegments: z.boolean().exactOptional(),
  reportMs: z.int().positive().default(REPORT_MS),
  drill: z.object({ approvedBy: z.string().min(1) }).exactOptional(),
});

const credentials = z.object({ accessKeyId: z.string(), secretAccessKey: z.string() });

const endpointsSchema = z.record(
  z.string(),
  z.object({
    dynamodb: z.url(),
    register: z.url().exactOptional(),
    postgres: z.url().exactOptional(),
    secrets: z.url().exactOptional(),
    s3: z.url().exactOptional(),
    sqs: z.url().exactOptional(),
    route53: z.url().exactOptional(),
    dns: z.string().exactOptional(),
    cloudwatch: z.url().exactOptional(),
    cloudformation: z.url().exactOptional(),
    credentials: credentials.exactOptional(),
    application: credentials.exactOptional(),
  }),
);

/** Where the services of a Region are reached, if not at AWS's own endpoints. */
export type RegionEndpoints = {
  readonly dynamodb: string;
  /** The MRSC table as it is reached from this Region, if not at `dynamodb`. */
  readonly register?: string;
  /** The Region's database, with whatever it takes to be let in; in place of the engine's own address. */
  readonly postgres?: string;
  /** Secrets Manager. */
  readonly secrets?: string;
  /** A witness has none. */
  readonly s3?: string;
  readonly sqs?: string;
  /** Route 53's control plane as it is reached from this Region. */
  readonly route53?: string;
  /** The one server that answers for the clients' name, as address and port; without it, the zone's are found. */
  readonly dns?: string;
  readonly cloudwatch?: string;
  readonly cloudformation?: string;
  /** For servers that are not AWS; without them, the SDK finds credentials as always. */
  readonly credentials?: Credentials;
  /** An application's: what a fence is tried with. */
  readonly application?: Credentials;
};
type Credentials = { readonly accessKeyId: string; readonly secretAccessKey: string };
export type Endpoints = Readonly<Record<string, RegionEndpoints>>;

/** What a function knows of its group and of the Region that it runs in. */
export type RuntimeConfig = GroupConfig & {
  readonly region: RegionId;
  readonly logTable: string;
  readonly controlTable: string;
  /** Where capture puts what it cannot log; nobody else knows of it. */
  readonly failureQueueUrl?: string;
  readonly buckets: Readonly<Record<RegionId, string>>;
  readonly endpoints: Endpoints;
  readonly retention: RetentionPolicy;
  /** The function that reads the store's changes here, where it has to be told to; the sentinel alone knows. */
  readonly captureFunction?: string;
  /** S3 locks the objects of the log: then all segments are objects. */
  readonly locksSegments?: boolean;
  /** Time between two reports of a Region's figures, ms. */
  readonly reportMs: number;
  /** Who has approved the scheduled drills; the function that runs them alone knows. */
  readonly drill?: { readonly approvedBy: string };
  readonly failover: FailoverConfig & {
    /** This Region's failover workflow, where it is one of Step Functions. */
    readonly stateMachineArn?: string;
    /** The engine's fence: roles that may write while it is up, and the function that tries a write as nobody's. */
    readonly fence?: { readonly exempt: readonly string[]; readonly probe?: string };
  };
};

/**
 * Reads the configuration of a function: JSON in UNDERSTUDY_CONFIG, and in UNDERSTUDY_ENDPOINTS where the group
 * does not live at AWS. Throws CONFIG_INVALID that names the field.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): RuntimeConfig {
  const input = parse(schema, 'UNDERSTUDY_CONFIG', env.UNDERSTUDY_CONFIG);
  const endpoints = env.UNDERSTUDY_ENDPOINTS
    ? parse(endpointsSchema, 'UNDERSTUDY_ENDPOINTS', env.UNDERSTUDY_ENDPOINTS)
    : {};
  const group = parseGroup(input);
  const region = parseRegionId(input.region);
  const buckets = Object.fromEntries(input.regions.map(({ name, bucket }) => [name, bucket]));
  if (!membersOf(group).includes(region)) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `Region ${region} is not one of the group`,
      `Use one of ${membersOf(group).join(', ')}.`,
    );
  }
  const { captureFunction, logTable, controlTable, drill, failureQueueUrl, locksSegments, reportMs } = input;
  const { fence, stateMachineArn, ...rules } = input.failover;
  const failover = {
    ...parseFailover(rules, group.regions),
    ...(stateMachineArn === undefined ? {} : { stateMachineArn }),
    ...(fence === undefined ? {} : { fence }),
  };
  refuseGuarded(group.engine, failover);
  refuseUntrusted(group.engine);
  return {
    ...group,
    region,
    logTable,
    controlTable,
    ...(failureQueueUrl === undefined ? {} : { failureQueueUrl }),
    ...(captureFunction === undefined ? {} : { captureFunction }),
    ...(drill === undefined ? {} : { drill }),
    ...(locksSegments === undefined ? {} : { locksSegments }),
    buckets,
    endpoints,
    reportMs,
    failover,
    retention: parseRetention(input.retention),
  };
}

/** A database that ends its users' writes with the lease can't go on without one. */
function refuseGuarded(engine: EngineConfig, { onLeaseLost }: FailoverConfig): void {
  if (engine.kind !== 'postgres' || engine.guard === 'off' || onLeaseLost !== 'continue') return;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    'failover.onLeaseLost is continue, and the lease guard of the databases would refuse writes without a lease',
    "Give engine.guard 'off', or onLeaseLost 'fence'.",
  );
}

/** A login would go to whoever answers. */
function refuseUntrusted(engine: EngineConfig): void {
  if (engine.kind !== 'postgres' || engine.logins === undefined || engine.authority !== undefined) return;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    'engine.logins: no login is sent to a server whose certificate nobody verifies',
    "Give engine.authority: 'rds', or a file with the authority as PEM.",
  );
}

function parse<T>(type: z.ZodType<T>, name: string, text: string | undefined): T {
  const next = 'Deploy the functions by the constructs, which set it; see docs/ARCHITECTURE.md.';
  if (text === undefined) throw new UnderstudyError('CONFIG_INVALID', `${name} is not set`, next);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UnderstudyError('CONFIG_INVALID', `${name} is not JSON`, next, { cause });
  }
  const parsed = type.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new UnderstudyError('CONFIG_INVALID', `${name}: ${z.prettifyError(parsed.error)}`, next, {
    cause: parsed.error,
  });
}
