import { HEALTH_CHECK } from '#lib/domain/control/flip-set.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { MRSC } from '#lib/domain/control/register-config.ts';
import {
  databaseInvocations,
  databaseLines,
  globalDatabaseOf,
  networkLines,
} from '#lib/domain/cost/database-lines.ts';
import { commitsOf, DURATION_S, GB, gbSeconds, type Load, MONTH_S } from '#lib/domain/cost/load.ts';
import { type BillLine, lineOf, type PriceId } from '#lib/domain/cost/price-list.ts';
import type { StackFacts } from '#lib/domain/cost/stack-facts.ts';
import { SMALL_SEGMENT } from '#lib/domain/log.ts';
import { METRICS } from '#lib/domain/metrics.ts';

/** The reserved attribute of a replicated item; see ADR 3. */
const STAMP_BYTES = 28;
/** An entry of the log, without a segment in it. */
const ENTRY_BYTES = 460;
/** A segment's frame, and what a canary takes in it. */
const SEGMENT_BYTES = 230;
const CANARY_BYTES = 60;
/** Checkers of Route 53 that ask an endpoint, each by itself: about so many, as AWS does not say. */
const CHECKERS = 16;
/** What an invocation writes to its log: three lines of Lambda's and one or two of its own. */
const LOG_BYTES = 900;
/** X-Ray takes the first request of each second, and one in twenty of the rest. */
const TRACE_SHARE = 0.05;
/** Between two reports of a Region's figures, s. */
const REPORT_S = 30;

/** Write units of an item as a follower stores it. */
export function unitsOf(bytes: number): number {
  return Math.max(1, Math.ceil((bytes + STAMP_BYTES) / 1_024));
}

/** Bytes of a segment of the load: its records taken to compress to what their frames take. */
function segmentBytes(load: Load, stack: StackFacts): number {
  if (load.records === 0) return SEGMENT_BYTES + CANARY_BYTES;
  return SEGMENT_BYTES + Math.max(1, load.records / commitsOf(load, stack)) * load.bytes;
}

/** Write units of an append: the entry, with its segment where that is small, and the head, both in a transaction. */
export function appendUnits(small: number): number {
  return 2 * (Math.ceil((ENTRY_BYTES + small) / 1_024) + 1);
}

/** The bill of a group for a month, line by line; the first replica leads. */
export function billOf(stacks: readonly StackFacts[], load: Load): readonly BillLine[] {
  const replicas = stacks.filter(({ replica }) => replica);
  const [leader] = replicas;
  if (leader === undefined) return [];
  return stacks
    .flatMap((stack) => [
      ...watchLines(stack),
      ...(stack.engine === 'postgres' ? networkLines(stack, load) : []),
      ...(stack.replica ? replicaLines(stack, load, stack === leader, replicas.length - 1) : []),
    ])
    .filter(({ usd }) => usd > 0);
}

/** What a Region costs whatever is written: watching, alarms, keys. */
function watchLines(stack: StackFacts): readonly BillLine[] {
  const { beatMs, lookMs } = PROFILES[stack.profile];
  const line = liner(stack.region);
  const looks = (MONTH_S * 1_000) / lookMs;
  const beats = (MONTH_S * 1_000) / beatMs;
  const asked = (stack.healthChecks * CHECKERS * MONTH_S) / HEALTH_CHECK.requestInterval;
  return [
    // One invocation a minute, each of which looks on into the next.
    line('Lambda', 'sentinel, all the time', gbSeconds(stack, 'sentinel', (MONTH_S * 62) / 60), 'lambda.arm'),
    stack.isRegisterGlobal
      ? line('DynamoDB', 'beats to all Regions, replicated', MRSC.replicas * beats, 'dynamodb.rwru')
      : line('DynamoDB', 'beats of the leader', beats, 'dynamodb.wru'),
    line('DynamoDB', 'looks at the acceptor and the role', looks * (stack.replica ? 2 : 1), 'dynamodb.rru'),
    line('CloudWatch', 'alarms', stack.alarms, 'cloudwatch.alarm'),
    line('CloudWatch', 'composite alarms', stack.composites, 'cloudwatch.composite'),
    line('CloudWatch', 'dashboards', stack.dashboards, 'cloudwatch.dashboard'),
    line('KMS', 'keys', stack.keys, 'kms.key'),
    line('Route 53', 'health checks', stack.healthChecks, 'route53.health'),
    line('Route 53', 'health checks: HTTPS, every 10 s', 2 * stack.healthChecks, 'route53.feature'),
    line(
      'Lambda',
      'leads, for health checks',
      gbSeconds(stack, 'leads', asked * DURATION_S.idle),
      'lambda.arm',
    ),
    line('Lambda', 'leads, invocations', asked, 'lambda.request'),
    line('DynamoDB', 'leads, reads', asked, 'dynamodb.rru'),
    line('CloudWatch', 'leads, logs', (asked * LOG_BYTES) / GB, 'cloudwatch.logs'),
  ];
}

function replicaLines(stack: StackFacts, load: Load, leads: boolean, followers: number): readonly BillLine[] {
  const line = liner(stack.region);
  const commits = commitsOf(load, stack) * MONTH_S;
  const segment = segmentBytes(load, stack);
  const small = segment <= SMALL_SEGMENT && !stack.locksSegments ? segment : 0;
  const objects = small > 0 ? 0 : commits;
  const logged = (load.records * load.bytes * MONTH_S) / GB;
  const invocations =
    stack.engine === 'postgres'
      ? databaseInvocations(load, stack)
      : // Capture, relay and apply at the leader; relay and apply elsewhere. All but capture tick every minute.
        commits * (leads ? 3 : 2) + 3 * (MONTH_S / 60);
  const metrics = Object.values(METRICS).filter(
    ({ sent }) =>
      sent === (leads ? 'leader' : 'follower') || (sent === 'database' && stack.engine === 'postgres'),
  ).length;
  const common = [
    line('S3', 'segments put', objects, 's3.put'),
    line('S3', 'log stored', (logged / 30.4) * load.logDays, 's3.storage'),
    line('DynamoDB', 'log appended', commits * appendUnits(small), 'dynamodb.wru'),
    line('DynamoDB', 'log deleted by retention', commits * (appendUnits(small) - 2), 'dynamodb.wru'),
    line('DynamoDB', 'heads, entries and roles read', commits * 4, 'dynamodb.rru'),
    line('Lambda', 'invocations', invocations, 'lambda.request'),
    line('CloudWatch', 'metrics', leads ? metrics + 2 : metrics, 'cloudwatch.metric'),
    line(
      'CloudWatch',
      'logs',
      (invocations * LOG_BYTES + (MONTH_S / REPORT_S) * 2_000) / GB,
      'cloudwatch.logs',
    ),
    line('X-Ray', 'traces', stack.traced ? tracesOf(invocations) : 0, 'xray.trace'),
  ];
  return [
    ...common,
    line('S3', 'segments read', objects, 's3.get'),
    line('Transfer', 'log to the followers', leads ? logged * followers : 0, 'transfer.region'),
    ...(stack.engine === 'postgres'
      ? databaseLines(stack, load, leads)
      : leads
        ? leaderLines(stack, load)
        : followerLines(stack, load)),
  ];
}

/** What a leader's table, and what reads it, costs. */
function leaderLines(stack: StackFacts, load: Load): readonly BillLine[] {
  const line = liner(stack.region);
  const commits = commitsOf(load, stack) * MONTH_S;
  return [
    line('DynamoDB', 'canaries', (MONTH_S * 1_000) / PROFILES[stack.profile].beatMs, 'dynamodb.wru'),
    line('Lambda', 'capture', gbSeconds(stack, 'capture', commits * DURATION_S.capture), 'lambda.arm'),
    line('Lambda', 'relay', gbSeconds(stack, 'relay', commits * DURATION_S.push), 'lambda.arm'),
    line('Lambda', 'apply', gbSeconds(stack, 'apply', commits * DURATION_S.idle), 'lambda.arm'),
  ];
}

/** What a follower's table, and what writes it, costs. */
function followerLines(stack: StackFacts, load: Load): readonly BillLine[] {
  const line = liner(stack.region);
  const commits = commitsOf(load, stack) * MONTH_S;
  const writes = Math.max(load.records, 1_000 / PROFILES[stack.profile].beatMs) * (1 + load.inserts);
  const units = writes * unitsOf(load.records === 0 ? 100 : load.bytes);
  const applied =
    load.capacity === 'provisioned'
      ? line(
          'DynamoDB',
          'changes applied',
          Math.ceil(units / load.utilization) * (MONTH_S / 3_600),
          'dynamodb.wcu',
        )
      : line('DynamoDB', 'changes applied', units * MONTH_S, 'dynamodb.wru');
  return [
    applied,
    line('DynamoDB', 'position', commits, 'dynamodb.wru'),
    line('Lambda', 'relay', gbSeconds(stack, 'relay', commits * DURATION_S.relay), 'lambda.arm'),
    line('Lambda', 'apply', gbSeconds(stack, 'apply', commits * applySeconds(load, stack)), 'lambda.arm'),
  ];
}

/** What AWS has for the same: its name, and its bill for the same load, replication alone, as for a follower here. */
export function alternativeOf(stacks: readonly StackFacts[], load: Load) {
  return stacks.some(({ engine }) => engine === 'postgres')
    ? ({
        key: 'globalDatabase',
        name: 'Aurora global database',
        lines: globalDatabaseOf(stacks, load),
      } as const)
    : ({ key: 'globalTables', name: 'Global tables', lines: globalTablesOf(stacks, load) } as const);
}

/** DynamoDB global tables for the same load: replication alone, as for a follower here. */
export function globalTablesOf(stacks: readonly StackFacts[], load: Load): readonly BillLine[] {
  const [leader, ...followers] = stacks.filter(({ replica }) => replica);
  if (leader === undefined) return [];
  const units = load.records * Math.max(1, Math.ceil(load.bytes / 1_024));
  const logged = (load.records * load.bytes * MONTH_S) / GB;
  const writes = followers.map(({ region }) =>
    load.capacity === 'provisioned'
      ? lineOf(
          'DynamoDB',
          region,
          'replicated writes',
          Math.ceil(units / load.utilization) * (MONTH_S / 3_600),
          'dynamodb.rwcu',
        )
      : lineOf('DynamoDB', region, 'replicated writes', units * MONTH_S, 'dynamodb.rwru'),
  );
  const transfer = lineOf(
    'Transfer',
    leader.region,
    'writes to the replicas',
    logged * followers.length,
    'transfer.region',
  );
  return [...writes, transfer];
}

/** An applier writes some 32 items at a time, 5 ms each. */
function applySeconds(load: Load, stack: StackFacts): number {
  return DURATION_S.apply + (load.records / commitsOf(load, stack) / 32) * 0.005;
}

function tracesOf(invocations: number): number {
  return Math.min(invocations, MONTH_S) + Math.max(0, invocations - MONTH_S) * TRACE_SHARE;
}

function liner(region: string) {
  return (service: string, what: string, quantity: number, price: PriceId) =>
    lineOf(service, region, what, quantity, price);
}
