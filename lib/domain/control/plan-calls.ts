import { LAG_ALARMS } from '#lib/domain/alarms.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import type { RegisterConfig } from '#lib/domain/control/register-config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { EngineConfig } from '#lib/domain/topology.ts';

/** Names of what a group keeps, alike in every Region but for the buckets. */
export type Resources = {
  readonly group: string;
  readonly engine: EngineConfig;
  readonly logTable: string;
  readonly controlTable: string;
  readonly register?: RegisterConfig;
  readonly buckets: Readonly<Record<RegionId, string>>;
  readonly record?: RecordConfig;
};

/** One kind of call to AWS that a step makes. */
export type ApiCall = {
  readonly step: string;
  readonly service: 'Step Functions' | 'DynamoDB' | 'PostgreSQL' | 'S3' | 'CloudWatch' | 'Route 53';
  readonly action: string;
  readonly region: string;
  readonly target: string;
  readonly why: string;
};

/** Route 53 has its control plane in one Region, whoever asks. */
const ROUTE53_REGION = 'us-east-1';

/** Every call of a failover or switchover that goes well, step by step; repeated ones are named once. */
export function callsOf(course: {
  readonly kind: 'failover' | 'switchover';
  readonly epoch: Epoch;
  /** All that vote and accept. */
  readonly members: readonly RegionId[];
  readonly replicas: readonly RegionId[];
  readonly from: RegionId;
  readonly winner: RegionId;
  readonly startIn: RegionId;
  readonly pullFrom: readonly RegionId[];
  readonly resources: Resources;
}): readonly ApiCall[] {
  const { epoch, from, kind, members, replicas, resources, startIn, winner } = course;
  // The last writes are in the old leader's log alone, and its successor's own applier takes them from there.
  const pullFrom = kind === 'switchover' ? [from] : course.pullFrom;
  const { buckets, controlTable, group, logTable, record, register } = resources;
  const role = `${controlTable}/${group}#role`;
  const store = storeCalls(resources);
  const calls: ApiCall[] = [];
  const at = (step: string, where: readonly string[]) => ({
    call(service: ApiCall['service'], action: string, target: string, why: string) {
      for (const region of where) calls.push({ step, service, action, region, target, why });
      return this;
    },
  });

  /** Each Region's acceptor: in its own control table, or all in one table that is at hand where the steps run. */
  const askAcceptors = (step: string, whose: readonly RegionId[], action: string, why: string) => {
    for (const each of whose) {
      if (register === undefined)
        at(step, [each]).call('DynamoDB', action, `${controlTable}/${group}#acceptor`, why);
      else at(step, [startIn]).call('DynamoDB', action, `${register.table}/${group}#acceptor#${each}`, why);
    }
  };

  at('start', [startIn]).call(
    'Step Functions',
    'StartExecution',
    `understudy-${group}-failover`,
    'runs the steps',
  );
  at('each step', [startIn]).call(
    'DynamoDB',
    'UpdateItem',
    `${controlTable}/${group}#history#${epoch + 1}`,
    'writes the decision down',
  );
  askAcceptors('each step', members, 'UpdateItem', 'beats for the coordinator');
  if (kind === 'switchover') {
    askAcceptors('yield', [from], 'UpdateItem', `votes against epoch ${epoch}: its consent`);
    const yields = at('yield', [from]);
    for (const [call, why] of store.lastWrites) yields.call(...call, why);
    yields.call('DynamoDB', 'GetItem', `${logTable}/head`, 'waits until they are logged');
  }
  askAcceptors('claim', members, 'GetItem', 'reads votes and beats');
  askAcceptors(
    'claim',
    members,
    'UpdateItem',
    `proposes epoch ${epoch + 1}${kind === 'switchover' ? ' and votes, with its consent' : ''}`,
  );
  at('fence', replicas).call(
    'DynamoDB',
    'UpdateItem',
    `${logTable}/head`,
    `seals the log at epoch ${epoch + 1}`,
  );
  at('elect', replicas)
    .call('DynamoDB', 'GetItem', `${logTable}/head`, 'reads where the log ends')
    .call('DynamoDB', 'GetItem', role, 'reads whether it is attached')
    .call(...store.position, 'reads what the store has applied')
    .call(
      'CloudWatch',
      'DescribeAlarms',
      LAG_ALARMS.join(', '),
      'reads the lag alarms; does not wait for them',
    );
  at('drain', pullFrom)
    .call('DynamoDB', 'Query', logTable, 'reads entries that the winner lacks')
    .call('S3', 'GetObject', 'segments', 'reads their segments');
  if (pullFrom.length > 0) {
    at('drain', [winner])
      .call('S3', 'PutObject', buckets[winner] ?? 'segments', 'stores them')
      .call('DynamoDB', 'TransactWriteItems', logTable, 'appends them');
  }
  if (winner !== from && kind === 'failover') {
    at('drain', [winner])
      .call(...store.lease, 'takes the apply lease, moves the position')
      .call('DynamoDB', 'Query', logTable, 'reads entries to apply')
      .call('S3', 'GetObject', buckets[winner] ?? 'segments', 'reads their segments')
      .call(...store.apply, 'applies what is left of the log');
  }
  askAcceptors('promote', members, 'UpdateItem', `${winner} leads epoch ${epoch + 1}`);
  at('promote', replicas).call('DynamoDB', 'PutItem', role, 'tells the data path');
  // By health checks, Route 53 moves the record itself.
  if (record !== undefined && record.flip !== 'data-plane') {
    const name = `${record.zoneId}/${record.name}`;
    at('repoint', [ROUTE53_REGION])
      .call('Route 53', 'ListResourceRecordSets', name, 'reads the record and its epoch')
      .call('Route 53', 'ChangeResourceRecordSets', name, `names ${winner} and epoch ${epoch + 1}`)
      .call('Route 53', 'GetChange', name, 'waits until all name servers know');
  }
  at('verify', [winner]).call(...store.beat, 'heartbeat: a write commits at the new leader');
  return calls;
}

type StoreCall = readonly [service: ApiCall['service'], action: string, target: string];

/** What a step does at a replica's store. */
function storeCalls({ controlTable, engine, group }: Resources): Readonly<
  Record<'beat' | 'position' | 'lease' | 'apply', StoreCall>
> & {
  /** What proves that the last writes of an epoch are logged, each call with why. */
  readonly lastWrites: readonly (readonly [call: StoreCall, why: string])[];
} {
  if (engine.kind === 'postgres') {
    const checkpoint = 'understudy.checkpoint';
    const beat = ['PostgreSQL', 'INSERT', 'understudy.heartbeat'] as const;
    return {
      beat,
      lastWrites: [[beat, 'heartbeat: the last write to its slot']],
      position: ['PostgreSQL', 'SELECT', checkpoint],
      lease: ['PostgreSQL', 'INSERT, UPDATE', checkpoint],
      apply: ['PostgreSQL', 'COPY, INSERT, UPDATE, DELETE, TRUNCATE', 'replicated tables'],
    };
  }
  const position = `${controlTable}/${group}#apply#0`;
  return {
    beat: ['DynamoDB', 'PutItem', engine.table],
    lastWrites: [
      [['DynamoDB', 'DescribeTable, DescribeStream', engine.table], 'lists the shards of its stream'],
      [['DynamoDB', 'BatchWriteItem', engine.table], 'heartbeats: the last write to each shard'],
    ],
    position: ['DynamoDB', 'GetItem', position],
    lease: ['DynamoDB', 'UpdateItem', position],
    apply: ['DynamoDB', 'PutItem, UpdateItem, DeleteItem', engine.table],
  };
}
