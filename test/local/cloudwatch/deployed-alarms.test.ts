import { expect, test } from 'vitest';
import { parseDeployment } from '#lib/constructs/config.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { deployedAlarms } from '#lib/local/cloudwatch/deployed-alarms.ts';
import { ACCOUNT, appOf, fileOf } from '../../constructs/stacks.ts';

test("the embedded cloud's alarms are those of the deployed stack", () => {
  const { config } = parseDeployment(fileOf(), 'test');
  const { metric, composite } = deployedAlarms(config, config.regions[0]!.name, PROFILES.balanced.maxLagMs);
  const [template] = appOf(fileOf()).templates;
  // Its account is another.
  const local = (text: string) => text.replaceAll(ACCOUNT, '000000000000');
  const deployed = (type: string) =>
    Object.values(template!.findResources(type)).map(({ Properties: { Tags: _, ...rest } }) =>
      JSON.parse(local(JSON.stringify(rest))),
    );
  const named = (alarms: readonly object[]) =>
    new Map(alarms.map((each) => [(each as { AlarmName: string }).AlarmName, each]));
  expect(named(metric)).toEqual(
    named(deployed('AWS::CloudWatch::Alarm').map((each) => ({ Dimensions: [], ...each }))),
  );
  expect(named(composite)).toEqual(named(deployed('AWS::CloudWatch::CompositeAlarm')));
});
