import { AwsInspector } from '#lib/aws/aws-inspector.ts';
import { workflowArnIn } from '#lib/aws/sfn-workflow.ts';
import { type Connection, connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { inTime } from '#lib/cli/in-time.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { table } from '#lib/cli/table.ts';
import { alarmsIn } from '#lib/constructs/alarm-specs.ts';
import { UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import { diagnose, type Fact, type RegionFacts } from '#lib/domain/doctor.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { membersOf } from '#lib/domain/topology.ts';

/**
 * `understudy doctor`: checks that what a group needs is there and as it should be, and how to mend what is not. It
 * reads alone. Exit status 1 if a check failed; what could not be checked, and warnings, are shown.
 */
export async function doctorCommand(options: GroupChoice & { json?: boolean }): Promise<number> {
  const connection = await connect(options);
  try {
    const { config, profile } = connection;
    const [survey, facts] = await Promise.all([
      connection.survey(),
      Promise.all(membersOf(config).map((region) => factsOf(connection, region))),
    ]);
    const alarmsOf = (region: RegionId) => [
      ...alarmsIn(config.witnesses.includes(region) ? 'witness' : 'replica', config.engine.kind).map(
        ({ name }) => name,
      ),
      UNSAFE_ALARM,
    ];
    const diagnoses = diagnose({ group: config, profile, survey, facts, alarmsOf });
    const well = diagnoses.filter(({ verdict }) => verdict === 'ok').length;
    if (options.json) {
      for (const each of diagnoses) console.log(jsonLine(each));
    } else {
      const rows = diagnoses
        .filter(({ verdict }) => verdict !== 'ok')
        .map(({ check, fix = '', region, verdict, what = '' }) => [verdict, region, check, what, fix]);
      if (rows.length > 0) {
        for (const line of table(['verdict', 'Region', 'check', 'what', 'what to do'], rows))
          console.log(line);
        console.log('');
      }
      console.log(`${well} of ${diagnoses.length} checks are well.`);
    }
    return diagnoses.some(({ verdict }) => verdict === 'failed') ? 1 : 0;
  } finally {
    connection.close();
  }
}

async function factsOf(
  { config, engine, peers, register, role }: Connection,
  region: RegionId,
): Promise<RegionFacts> {
  const inspector = new AwsInspector(peers.clients(region));
  const fact = async <T>(work: Promise<T>): Promise<Fact<T>> => {
    try {
      return { known: await inTime(region, work, register.sleep) };
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  };
  const [control, clock] = await Promise.all([
    fact(inspector.table(config.controlTable)),
    fact(inspector.clockAheadMs(config.controlTable, () => Date.now())),
  ]);
  const aheadMs = 'known' in clock ? clock.known : undefined;
  const shared = { region, control, ...(aheadMs !== undefined && { clockAheadMs: aheadMs }) };
  if (config.witnesses.includes(region)) return shared;
  const [data, log, bucket, strays, workflow] = await Promise.all([
    // Of a database, its own doctor tells more: --engine postgres --url …
    config.engine.kind === 'dynamodb' ? fact(inspector.table(config.engine.table)) : undefined,
    fact(inspector.table(config.logTable)),
    fact(inspector.bucket(config.buckets[region]!)),
    engine.strays &&
      fact(role().then((role) => (role.leader === region ? [] : engine.strays!(role, region)))),
    config.failover.stateMachineArn === undefined
      ? undefined
      : fact(inspector.workflow(workflowArnIn(config, region))),
  ]);
  return {
    ...shared,
    ...(data && { data }),
    log,
    bucket,
    ...(strays && { strays }),
    ...(workflow && { workflow }),
  };
}
