import { PROFILES } from '#lib/domain/control/profile.ts';
import { commitsOf, DURATION_S, GB, gbSeconds, type Load, MONTH_S } from '#lib/domain/cost/load.ts';
import { type BillLine, lineOf } from '#lib/domain/cost/price-list.ts';
import type { StackFacts } from '#lib/domain/cost/stack-facts.ts';

/** An invocation of capture reads the leader's slot for so long, each minute: into the next one, which waits. */
const RESIDENT_S = 75;
/** Elsewhere it looks once: a session by TLS, and a look. Assumed. */
const LOOK_S = 0.5;
/** How often Lambda polls a shard of the log's stream, in a second. */
const POLLS = 4;
/** To apply a row, s. Assumed: 20,000 a second. */
const ROW_S = 0.00005;
/** What a call of AWS is, there and back. Assumed. */
const CALL_BYTES = 2_000;
/** What Aurora counts as one I/O. */
const IO_BYTES = 4_096;

/** Hints of the log's stream a second: appends that are close together come as one. */
function hintsOf(load: Load, stack: StackFacts): number {
  return Math.min(commitsOf(load, stack), POLLS);
}

/** Invocations a month of capture, relay and apply, all of which tick every minute. */
export function databaseInvocations(load: Load, stack: StackFacts): number {
  return 2 * hintsOf(load, stack) * MONTH_S + 4 * (MONTH_S / 60);
}

/** What capture, relay and apply of a replica cost beside the log itself. The store is a database, and no part of the bill. */
export function databaseLines(stack: StackFacts, load: Load, leads: boolean): readonly BillLine[] {
  const hints = hintsOf(load, stack) * MONTH_S;
  const { region } = stack;
  const timeOf = (name: string, what: string, seconds: number) =>
    lineOf('Lambda', region, what, gbSeconds(stack, name, seconds), 'lambda.arm');
  const minutes = MONTH_S / 60;
  const perHint = load.records / hintsOf(load, stack);
  return leads
    ? [
        timeOf('capture', 'capture, reading the slot all the time', minutes * RESIDENT_S),
        timeOf('relay', 'relay', hints * DURATION_S.push),
        timeOf('apply', 'apply', hints * DURATION_S.idle),
      ]
    : [
        timeOf('capture', 'capture, looking at the slot each minute', minutes * LOOK_S),
        timeOf('relay', 'relay', hints * DURATION_S.relay),
        timeOf('apply', 'apply', hints * (DURATION_S.apply + perHint * ROW_S)),
      ];
}

/** The way out of the functions' subnets: gateways, and all that goes through them to AWS and back. */
export function networkLines(stack: StackFacts, load: Load): readonly BillLine[] {
  const { beatMs, lookMs } = PROFILES[stack.profile];
  const { region, replica } = stack;
  // A leader puts its log, a follower reads it; what lies in between goes by the relay, which is in no network.
  const logged = replica ? load.records * load.bytes * MONTH_S : 0;
  const calls = (2_000 / lookMs + 3_000 / beatMs + (replica ? 3 * commitsOf(load, stack) : 0)) * MONTH_S;
  return [
    lineOf('VPC', region, 'NAT gateways', load.natGateways * (MONTH_S / 3_600), 'nat.hour'),
    lineOf('VPC', region, 'through NAT gateways', (logged + calls * CALL_BYTES) / GB, 'nat.bytes'),
  ];
}

/**
 * A global database of Aurora's for the same load: replication alone. At most: Aurora may count small writes that come
 * together as one.
 */
export function globalDatabaseOf(stacks: readonly StackFacts[], load: Load): readonly BillLine[] {
  const [leader, ...followers] = stacks.filter(({ replica }) => replica);
  if (leader === undefined) return [];
  const writes = load.records * Math.max(1, Math.ceil(load.bytes / IO_BYTES)) * MONTH_S;
  const logged = (load.records * load.bytes * MONTH_S) / GB;
  return [
    ...followers.map(({ region }) => lineOf('Aurora', region, 'replicated writes', writes, 'aurora.rwio')),
    lineOf('Transfer', leader.region, 'writes to the replicas', logged * followers.length, 'transfer.region'),
  ];
}
