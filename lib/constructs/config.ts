import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import type * as z from 'zod';
import { databasesFile, type drillSchema, tablesFile } from '#lib/constructs/config-schema.ts';
import { planDatabases } from '#lib/constructs/database-plan.ts';
import { Engine } from '#lib/constructs/engine.ts';
import type { DrillProps, ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { tableNames } from '#lib/constructs/names.ts';
import { Register, registerOf } from '#lib/constructs/register.ts';
import { type FailoverConfig, parseFailover } from '#lib/domain/control/failover-config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type GroupId, parseGroupId } from '#lib/domain/ids.ts';
import { parseRetention, type RetentionPolicy } from '#lib/domain/retention.ts';
import { type EngineConfig, type GroupConfig, parseGroup, refuseTooFew } from '#lib/domain/topology.ts';

const KEYS = { S: 'STRING', N: 'NUMBER', B: 'BINARY' } as const;

/** What one config file deploys. */
export type Deployment = {
  readonly config: GroupConfig;
  /** What is replicated, as the construct takes it. */
  readonly engine: Engine;
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
  const isOfDatabases = typeof value === 'object' && value !== null && 'engine' in value;
  const file = isOfDatabases ? parse(databasesFile, value, source) : parse(tablesFile, value, source);
  const { regions, witnesses = [], account, alarmTopic, dashboard, drill, pageTopic } = file;
  const group = parseGroupId(file.group);
  const names = regions.map(({ name }) => name);
  const { engine, config: engineConfig } =
    'engine' in file ? databasesOf(file.engine, source, names, witnesses) : tableOf(file, source, group);
  const config = parseGroup({
    group,
    engine: engineConfig,
    regions,
    witnesses,
    register: registerOf(file.register, group),
  });
  refuseTooFew(config);
  const failover = parseFailover(file.failover, config.regions);
  const retention = parseRetention(file.retention);
  return {
    config,
    engine,
    failover,
    retention,
    account,
    alarmTopic,
    pageTopic,
    dashboard,
    drill: drill && drillPropsOf(drill),
  };
}

type EngineOf = { readonly engine: Engine; readonly config: EngineConfig };

function tableOf({ table, key }: z.infer<typeof tablesFile>, source: string, group: GroupId): EngineOf {
  const [partitionKey, sortKey] = key.map(({ name, type }) => ({ name, type: AttributeType[KEYS[type]] }));
  if (partitionKey!.name === sortKey?.name) {
    throw invalid(`${source}: key: both attributes are ${sortKey.name}`, 'Give the sort key its own name.');
  }
  if (Object.values(tableNames(group)).includes(table)) {
    throw invalid(
      `${source}: table: ${table} is a table of Understudy's own`,
      'Give the table another name.',
    );
  }
  const engine = Engine.dynamodb({ table, partitionKey: partitionKey!, ...(sortKey && { sortKey }) });
  return { engine, config: { kind: 'dynamodb', table, key } };
}

/** Errors name what is wrong as a prop, which is where it is in the file. */
function databasesOf(
  { authority: file, kind: _, ...rest }: z.infer<typeof databasesFile>['engine'],
  source: string,
  replicas: readonly string[],
  witnesses: readonly string[],
): EngineOf {
  const authority =
    file === undefined ? undefined : read(resolve(dirname(source), file), 'Correct engine.authority.');
  const props = { ...rest, ...(authority !== undefined && { authority }) };
  const { config } = planDatabases(props, replicas, [...replicas, ...witnesses]);
  return { engine: Engine.postgres(props), config };
}

function parse<T>(schema: z.ZodType<T>, value: unknown, source: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.length ? issue.path.join('.') : 'the top level';
  throw invalid(`${source}: ${where}: ${issue?.message}`, `Correct ${where} in ${source}.`);
}

function drillPropsOf({ keepDays, ...drill }: z.infer<typeof drillSchema>): DrillProps {
  return { ...drill, ...(keepDays !== undefined && { keep: Duration.days(keepDays) }) };
}

/** The props of the group that a file describes, but for its functions' code. */
export function propsOf({
  config,
  dashboard,
  drill,
  engine,
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
    engine,
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

function read(
  path: string,
  next = 'Name a config file: -c config=FILE with the CDK, --config FILE with understudy cost.',
): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`${path} cannot be read`, next, cause);
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
