import { App, type CfnResource, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { CfnAlarm, CfnCompositeAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import { Alarms } from '#lib/constructs/alarms.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import {
  type AlarmDefinitions,
  compositeAlarm,
  metricAlarm,
} from '#lib/local/cloudwatch/alarm-definition.ts';
import { filledIn } from '#lib/local/filled-in.ts';

/** The account of the embedded cloud. */
const ACCOUNT = '000000000000';

/**
 * The alarms of a Region: those that are deployed, made in this process. Synthesis would check the template, too, which
 * takes a second.
 *
 * @param maxLagMs the lag above which a replica is no candidate.
 */
export function deployedAlarms(config: GroupConfig, region: RegionId, maxLagMs: number): AlarmDefinitions {
  const stack = new Stack(new App({ autoSynth: false }), 'Alarms', { env: { account: ACCOUNT, region } });
  new Alarms(stack, 'Alarms', {
    place: {
      config,
      region,
      account: ACCOUNT,
      removal: RemovalPolicy.RETAIN,
      encryption: 'aws',
      objectLock: undefined,
    },
    maxLag: Duration.millis(maxLagMs),
  });
  const all = stack.node.findAll();
  const propertiesOf = (resource: CfnResource, names: readonly string[]) => {
    const values = resource as unknown as Readonly<Record<string, unknown>>;
    const named = Object.fromEntries(names.map((name) => [name, values[uncapitalized(name)]]));
    return capitalized(JSON.parse(JSON.stringify(stack.resolve(named), filledIn)));
  };
  return {
    metric: all
      .filter((each) => each instanceof CfnAlarm)
      .map((each) => metricAlarm.parse(propertiesOf(each, Object.keys(metricAlarm.shape)))),
    composite: all
      .filter((each) => each instanceof CfnCompositeAlarm)
      .map((each) => compositeAlarm.parse(propertiesOf(each, Object.keys(compositeAlarm.shape)))),
  };
}

function uncapitalized(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

/** The CDK's constructs begin the names of properties with a small letter, CloudFormation with a capital one. */
function capitalized(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(capitalized);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.charAt(0).toUpperCase() + name.slice(1),
      capitalized(each),
    ]),
  );
}
