import * as z from 'zod';
import { GUARD_MODES } from '#lib/domain/topology.ts';

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
export const drillSchema = z.strictObject({
  schedule: z.string(),
  timezone: z.string().exactOptional(),
  approvedBy: z.string(),
  keepDays: z.number().exactOptional(),
});

/** What a group has whatever it replicates. */
const group = z.strictObject({
  group: z.string(),
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

/** As the props of `Engine.postgres`, which checks what is in them; `authority` is a file. */
const databases = z.strictObject({
  kind: z.literal('postgres'),
  databases: z.record(
    z.string(),
    z.strictObject({
      server: z.strictObject({ host: z.string(), port: z.int().exactOptional() }),
      database: z.string(),
      role: z.string(),
      secret: z.string().exactOptional(),
      secretKey: z.string().exactOptional(),
      resourceId: z.string().exactOptional(),
    }),
  ),
  network: z.record(
    z.string(),
    z.strictObject({
      vpc: z.strictObject({ vpcId: z.string() }),
      subnets: z.array(z.string()),
      securityGroups: z.array(z.string()).exactOptional(),
    }),
  ),
  publication: z.string().exactOptional(),
  slot: z.string().exactOptional(),
  applicationRoles: z.array(z.string()).exactOptional(),
  guard: z.enum(GUARD_MODES).exactOptional(),
  authority: z.string().exactOptional(),
});

/** A file that describes a group of tables. */
export const tablesFile = group.extend({
  table: z.string().regex(/^[a-zA-Z0-9_.-]{3,255}$/, 'is not the name of a DynamoDB table'),
  key: z.union(
    [z.tuple([keyAttribute]), z.tuple([keyAttribute, keyAttribute])],
    'must be one or two attributes',
  ),
});

/** A file that describes a group of databases: it has `engine`. */
export const databasesFile = group.extend({ engine: databases });
