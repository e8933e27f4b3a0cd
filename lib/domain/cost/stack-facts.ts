import type { Profile } from '#lib/domain/control/profile.ts';

/** What the bill of a Region depends on, as its template has it. */
export type StackFacts = {
  readonly region: string;
  /** A witness has no log. */
  readonly replica: boolean;
  readonly profile: Profile['name'];
  /** What the group replicates. */
  readonly engine: 'dynamodb' | 'postgres';
  /** MiB of each function, by its name without the group's. */
  readonly memory: Readonly<Record<string, number>>;
  readonly traced: boolean;
  readonly alarms: number;
  readonly composites: number;
  readonly dashboards: number;
  readonly keys: number;
  readonly healthChecks: number;
  /** S3 locks the segments: all of them are objects. */
  readonly locksSegments: boolean;
  /** Whether the register is a global table: each Region has a replica of every Region's beats. */
  readonly isRegisterGlobal: boolean;
};

type Resource = { readonly Type: string; readonly Properties?: Readonly<Record<string, unknown>> };
export type StackTemplate = {
  readonly Description?: string;
  readonly Resources?: Readonly<Record<string, Resource>>;
};

/** True for the template of a Region of Understudy's; the one of a register is a table alone, and its Regions pay for it. */
export function isOurs({ Description = '' }: StackTemplate): boolean {
  return Description.startsWith('Understudy: ') && !Description.startsWith('Understudy: register ');
}

/** Reads the facts of a synthesized template. */
export function factsOf(region: string, template: StackTemplate): StackFacts {
  const resources = Object.values(template.Resources ?? {});
  const count = (type: string) => resources.filter(({ Type }) => Type === type).length;
  const functions = resources.filter(
    ({ Type, Properties }) => Type === 'AWS::Lambda::Function' && settingsOf(Properties) !== '',
  );
  const memory = functions.map(({ Properties }) => [
    String(Properties?.FunctionName).split('-').at(-1)!,
    Number(Properties?.MemorySize ?? 128),
  ]);
  const settings = functions.map(({ Properties }) => settingsOf(Properties)).join();
  const profile = /"profile":"(fast|balanced|cautious)"/.exec(settings);
  return {
    region,
    replica: memory.some(([name]) => name === 'capture'),
    profile: (profile?.[1] ?? 'balanced') as Profile['name'],
    engine: settings.includes('"kind":"postgres"') ? 'postgres' : 'dynamodb',
    memory: Object.fromEntries(memory),
    traced: functions.some(({ Properties }) => JSON.stringify(Properties?.TracingConfig)?.includes('Active')),
    alarms: count('AWS::CloudWatch::Alarm'),
    composites: count('AWS::CloudWatch::CompositeAlarm'),
    dashboards: count('AWS::CloudWatch::Dashboard'),
    keys: count('AWS::KMS::Key') + count('AWS::KMS::ReplicaKey'),
    healthChecks: count('AWS::Route53::HealthCheck'),
    locksSegments: functions.some(({ Properties }) =>
      settingsOf(Properties).includes('"locksSegments":true'),
    ),
    isRegisterGlobal: settings.includes('"kind":"mrsc"'),
  };
}

/** The text of UNDERSTUDY_CONFIG, as far as it is known before deployment; empty for a function of the CDK's own. */
function settingsOf(properties: Resource['Properties']): string {
  const { Variables } = (properties?.Environment ?? {}) as { Variables?: Record<string, unknown> };
  const text = Variables?.UNDERSTUDY_CONFIG;
  if (text === undefined) return '';
  return typeof text === 'string' ? text : JSON.stringify(text).replaceAll('\\"', '"');
}
