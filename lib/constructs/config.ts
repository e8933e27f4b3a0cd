import { readFileSync } from 'node:fs';
import { Duration } from 'aws-cdk-lib';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import * as z from 'zod';
import { Engine } from '#lib/constructs/engine.ts';
import type { DrillProps, ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { tableNames } from '#lib/constructs/names.ts';
import { Register, registerOf } from '#lib/constructs/register.ts';
import { type FailoverConfig, parseFailover } from '#lib/domain/control/failover-config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { parseRetention, type RetentionPolicy } from '#lib/domain/retention.ts';
import { type DynamoEngineConfig, type GroupConfig, parseGroup, refuseTooFew } from '#lib/domain/topology.ts';

const KEYS = { S: 'STRING', N: 'NUMBER', B: 'BINARY' } as const;

const keyAttribute = z.strictObject({ name: z.string().min(1).max(255), type: z.enum(['S', 'N', 'B']) });

/** With a version or an alias, or without. */
const LAMBDA_ARN = /^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+(:[\w$-]+)?$/;

const topicName = z.string().regex(/^[a-zA-Z0-9_-]{1,256}$/, 'is not the name of an SNS topic');

const failoverSchema = z.strictObject({
  profile: z.enum(['fast', 'balanced', 'cautious']).default('balanced'),
  record: z
    .strictObject({
      zoneId: z.string().regex(/^[A-Z0-9]{1,32}$/, 'is not the id of a hosted zone'),
      name: z.string().min(1),
      ttlSeconds: z.int().positive().default(10),
      flip: z.enum(['control-plane', 'data-plane']).exactOptional(),
    })
    .exactOptional(),
  targets: z.record(z.string(), z.string().min(1)).default({}),
  priorities: z.record(z.string(), z.int()).exactOptional(),
  noFailover: z.array(z.string()).exactOptional(),
  countedWrites: z.boolean().exactOptional(),
  onLeaseLost: z.enum(['fence', 'continue']).exactOptional(),
  hostFence: z
    .strictObject({
      functions: z.record(z.string(), z.string().regex(LAMBDA_ARN, 'is not the ARN of a Lambda function')),
      timeoutSeconds: z.number().positive().default(3),
    })
    .exactOptional(),
});

const retentionSchema = z.strictObject({
  days: z.number().exactOptional(),
  maxBytes: z.number().exactOptional(),
  restoreWindowDays: z.number().exactOptional(),
  holdDays: z.number().exactOptional(),
  graceHours: z.number().exactOptional(),
});

/** As the prop `drill`, which checks it. */
const drillSchema = z.strictObject({
  schedule: z.string(),
  timezone: z.string().exactOptional(),
  approvedBy: z.string(),
  keepDays: z.number().exactOptional(),
});

const schema = z.strictObject({
  group: z.string(),
  table: z.string().regex(/^[a-zA-Z0-9_.-]{3,255}$/, 'is not the name of a DynamoDB table'),
  key: z.union(
    [z.tuple([keyAttribute]), z.tuple([keyAttribute, keyAttribute])],
    'must be one or two attributes',
  ),
  regions: z.array(z.strictObject({ name: z.string(), follows: z.string().optional() })),
  witnesses: z.array(z.string()).optional(),
  register: z.enum(['quorum', 'mrsc']).default('quorum'),
  account: z
    .string()
    .regex(/^\d{12}$/, 'is not an account number of 12 digits')
    .optional(),
  failover: failoverSchema.prefault({}),
  retention: retentionSchema.prefault({}),
  alarmTopic: topicName.optional(),
  pageTopic: topicName.optional(),
  dashboard: z.boolean().default(true),
  drill: drillSchema.exactOptional(),
});

/** What one config file deploys. */
export type Deployment = {
  readonly config: GroupConfig<DynamoEngineConfig>;
  readonly failover: FailoverConfig;
  readonly retention: RetentionPolicy;
  /** Where to; without it, the account that the CDK finds credentials for. */
  readonly account: string | undefined;
  /** Name of an SNS topic that exists in every Region, and gets every alarm. */
  readonly alarmTopic: string | undefined;
  /** Name of another, for what is to be paged on; `alarmTopic` if there is none. */
  readonly pageTopic: string | undefined;
  readonly dashboard: boolean;
  /** When drills take place. */
  readonly drill: DrillProps | undefined;
};

/** Reads a config file. Throws CONFIG_INVALID, CONFIG_REGION_REPEATED or REGIONS_TOO_FEW. */
export function readDeployment(path: string): Deployment {
  return parseDeployment(parseJson(read(path), path), path);
}

/** Checks the content of a config file; `source` is what errors call it. */
export function parseDeployment(value: unknown, source: string): Deployment {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.length ? issue.path.join('.') : 'the top level';
    throw invalid(`${source}: ${where}: ${issue?.message}`, `Correct ${where} in ${source}.`);
  }
  const { group, table, key, regions, witnesses, account, alarmTopic, dashboard, drill, pageTopic } =
    parsed.data;
  if (key.length === 2 && key[0].name === key[1].name) {
    throw invalid(`${source}: key: both attributes are ${key[0].name}`, 'Give the sort key its own name.');
  }
  const config = parseGroup({
    group,
    engine: { kind: 'dynamodb', table, key },
    regions,
    witnesses,
    register: registerOf(parsed.data.register, parseGroupId(group)),
  });
  refuseTooFew(config);
  if (Object.values(tableNames(config.group)).includes(table)) {
    throw invalid(
      `${source}: table: ${table} is a table of Understudy's own`,
      'Give the table another name.',
    );
  }
  const failover = parseFailover(parsed.data.failover, config.regions);
  const retention = parseRetention(parsed.data.retention);
  return {
    config,
    failover,
    retention,
    account,
    alarmTopic,
    pageTopic,
    dashboard,
    drill: drill && drillPropsOf(drill),
  };
}

function drillPropsOf({ keepDays, ...drill }: z.infer<typeof drillSchema>): DrillProps {
  return { ...drill, ...(keepDays !== undefined && { keep: Duration.days(keepDays) }) };
}

/** The props of the group that a file describes, but for its functions' code. */
export function propsOf({
  config,
  dashboard,
  drill,
  failover,
  retention,
  account,
  alarmTopic,
  pageTopic,
}: Deployment) {
  const {
    countedWrites = false,
    priorities = {},
    noFailover = [],
    hostFence,
    onLeaseLost,
    profile,
    record,
    targets,
  } = failover;
  const [partitionKey, sortKey] = config.engine.key.map(({ name, type }) => ({
    name,
    type: AttributeType[KEYS[type]],
  }));
  const topic = alarmTopic ?? pageTopic;
  return {
    group: config.group,
    regions: config.regions.map(({ name, follows }) => ({
      region: name,
      ...(follows && { follows }),
      ...(priorities[name] !== undefined && { priority: priorities[name] }),
      noFailover: noFailover.includes(name),
    })),
    witness: config.witnesses,
    register: config.register?.kind ?? Register.quorum,
    countedWrites,
    engine: Engine.dynamodb({
      table: config.engine.table,
      partitionKey: partitionKey!,
      ...(sortKey && { sortKey }),
    }),
    ...(record && {
      dns: {
        zone: { hostedZoneId: record.zoneId },
        record: record.name,
        endpoints: targets,
        ttl: Duration.seconds(record.ttlSeconds),
        ...(record.flip && { flip: record.flip }),
      },
    }),
    ...(hostFence && {
      hostFence: {
        functions: hostFence.functions,
        timeout: Duration.millis(hostFence.timeoutSeconds * 1000),
      },
    }),
    ...(onLeaseLost && { onLeaseLost }),
    profile,
    retention,
    dashboard,
    ...(drill && { drill }),
    ...(topic && { alarms: { topic, ...(pageTopic && { pageTopic }) } }),
    ...(account && { account }),
  } satisfies ReplicationGroupProps;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(
      `${path} cannot be read`,
      'Name a config file: -c config=FILE with the CDK, --config FILE with understudy cost.',
      cause,
    );
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(`${path} is not JSON: ${(cause as Error).message}`, `Correct ${path}.`, cause);
  }
}

function invalid(what: string, next: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', what, next, { cause });
}
