import type { GroupId } from '#lib/domain/ids.ts';

/** The Lambda functions of a Region; also their folders below `functions/`. */
export const FUNCTIONS = ['capture', 'relay', 'apply', 'sentinel', 'failover', 'retention', 'probe'] as const;
export type FunctionName = (typeof FUNCTIONS)[number];
/**
 * All functions that there is a bundle of: `deploy-check` runs while a stack is deployed, and never else; `leads` is
 * there where health checks move the DNS record, `drill` where drills are scheduled.
 */
export const BUNDLES = [...FUNCTIONS, 'deploy-check', 'leads', 'drill'] as const;
export type BundleName = (typeof BUNDLES)[number];
/** Each has bundles of its own: a function carries no code of another engine's. */
export const ENGINES = ['dynamodb', 'postgres'] as const;
export type EngineKind = (typeof ENGINES)[number];

/** The bundles that functions of a group of an engine are made of. */
export function bundlesOf(engine: EngineKind): readonly BundleName[] {
  // Who tries whether a fence of tables holds.
  return BUNDLES.filter((name) => engine === 'dynamodb' || name !== 'probe');
}

/** Where a bundle lies among others. */
export function bundleFolder(name: BundleName, engine: EngineKind): string {
  return engine === 'dynamodb' ? name : `${engine}-${name}`;
}

/** The tables that Understudy keeps in every Region; they have the same names in each. `register`: where it is one table. */
export function tableNames(group: GroupId): Readonly<Record<'log' | 'control' | 'register', string>> {
  const name = (part: string) => `understudy-${group}-${part}`;
  return { log: name('log'), control: name('control'), register: name('register') };
}

/** Name of a group's own resource of any other kind: a function, a queue, an alarm, a rule. */
export function resourceName(group: GroupId, part: string): string {
  return `understudy-${group}-${part}`;
}

/** Name of a function's role: roles of all Regions are of one name space, and policies call them by their names. */
export function roleName(group: GroupId, fn: string, region: string): string {
  return resourceName(group, `${fn}-${region}`);
}

/** Name of a group's failover workflow; the same in every Region. */
export function workflowName(group: GroupId): string {
  return resourceName(group, 'failover');
}
