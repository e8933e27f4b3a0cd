import type { Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, it } from 'vitest';
import { METRICS } from '#lib/domain/metrics.ts';
import { ACCOUNT, appOf, fileOf } from './stacks.ts';

const REGIONS = ['eu-west-1', 'us-east-1', 'ap-southeast-2'];

type Widget = {
  readonly type: string;
  readonly y: number;
  readonly properties: {
    readonly title?: string;
    readonly markdown?: string;
    readonly alarms?: readonly string[];
    readonly metrics?: readonly (readonly unknown[])[];
  };
};

let templates: readonly Template[];
let widgets: readonly Widget[];
beforeAll(() => {
  ({ templates } = appOf(fileOf({ witnesses: ['eu-central-1'] })));
  widgets = bodyOf(templates[0]!).widgets;
});

function dashboardOf(template: Template): {
  readonly DashboardName: string;
  readonly DashboardBody: unknown;
} {
  const [found] = Object.values(template.findResources('AWS::CloudWatch::Dashboard'));
  return found!.Properties;
}

/** The body as CloudFormation fills it in. */
function bodyOf(template: Template): { readonly widgets: readonly Widget[] } {
  const { DashboardBody } = dashboardOf(template);
  if (typeof DashboardBody === 'string') return JSON.parse(DashboardBody);
  const [separator, parts] = (DashboardBody as { 'Fn::Join': [string, readonly unknown[]] })['Fn::Join'];
  return JSON.parse(parts.map((part) => (typeof part === 'string' ? part : 'aws')).join(separator));
}

const titled = (title: string) => widgets.find(({ properties }) => properties.title?.startsWith(title))!;
/** The Regions whose figures a widget shows. */
const regionsOf = ({ properties: { metrics = [] } }: Widget) =>
  new Set(metrics.map((metric) => (metric.at(-1) as { region?: string }).region ?? 'eu-west-1'));

describe('the dashboard', () => {
  it('has a name of its own in each replica Region, as dashboards are global, and none at a witness', () => {
    const names = templates.slice(0, 3).map((template) => dashboardOf(template).DashboardName);
    expect(names).toEqual(REGIONS.map((region) => `understudy-orders-${region}`));
    templates[3]!.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
  });

  it('answers at the top whether the group is safe now', () => {
    const [title, ...rest] = widgets.toSorted((a, b) => a.y - b.y);
    expect(title!.properties.markdown).toMatch(/am I safe now\?[\s\S]*docs\/RUNBOOK\.md#alarm-unsafe/);
    const top = rest.filter(({ y }) => y === rest[0]!.y).map(({ properties }) => properties.title);
    expect(top).toEqual([
      'Unsafe',
      'What would be lost now: seconds, records',
      'Lease left, %',
      'Candidates',
      'Epoch, leads',
    ]);
  });

  it('shows the alarm to page on of every Region', () => {
    expect(titled('Unsafe').properties.alarms).toEqual(
      [...REGIONS, 'eu-central-1'].map(
        (region) => `arn:aws:cloudwatch:${region}:${ACCOUNT}:alarm:understudy-orders-unsafe`,
      ),
    );
  });

  it('shows every figure that there is, by group and Region', () => {
    const shown = widgets.flatMap(({ properties: { metrics = [] } }) => metrics);
    const own = shown.filter(([namespace]) => namespace === 'Understudy');
    const { SlotsLost: _ofDatabases, ...all } = METRICS;
    expect(new Set(own.map(([, name]) => name))).toEqual(new Set(Object.keys(all)));
    for (const [, , ...dimensions] of own)
      expect(dimensions.slice(0, 4)).toEqual(['group', 'orders', 'region', expect.any(String)]);
  });

  it.each(['Applied lag', 'Runs of the failover', 'Commits to the log', 'Write units', 'Age of what'])(
    'shows %s of every Region',
    (title) => {
      const regions = regionsOf(titled(title));
      for (const region of REGIONS) expect(regions).toContain(region);
    },
  );

  it('can be done without', () => {
    for (const template of appOf(fileOf({ dashboard: false })).templates) {
      template.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
    }
  });
});
