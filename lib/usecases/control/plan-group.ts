import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import { type Plan, type PlanRequest, planOf } from '#lib/domain/control/plan.ts';
import type { Resources } from '#lib/domain/control/plan-calls.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import { registerOf, type Survey } from '#lib/domain/control/survey.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';

/** What a failover or a switchover would do if it began now, by what the Regions say now. */
export async function planGroup(
  deps: {
    readonly config: Omit<Resources, 'record'> & { readonly failover: FailoverConfig };
    readonly profile: Profile;
    readonly survey: () => Promise<Survey>;
  },
  request: PlanRequest,
): Promise<Plan> {
  const survey = await deps.survey();
  const known = registerOf(survey);
  const { noFailover = [], onLeaseLost, priorities, record } = deps.config.failover;
  const { buckets, controlTable, engine, group, logTable, register } = deps.config;
  return planOf(survey, request, {
    profile: deps.profile,
    priorityOf: (region) => priorities?.[region] ?? 0,
    noFailover: (region) => noFailover.includes(region),
    continues: onLeaseLost === 'continue',
    guarded: known && guardOf(known.register, survey.atMs),
    resources: {
      group,
      engine,
      logTable,
      controlTable,
      buckets,
      ...(register && { register }),
      ...(record && { record }),
    },
  });
}
