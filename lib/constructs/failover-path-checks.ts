import { readFileSync } from 'node:fs';
import type {
  IPolicyValidationContext,
  IPolicyValidationPlugin,
  PolicyValidationPluginReport,
} from 'aws-cdk-lib';
import { factsOf, isOurs } from '#lib/domain/cost/stack-facts.ts';
import { failoverDependencies } from '#lib/domain/failover-dependencies.ts';

/**
 * Says at synthesis which step of a failover needs us-east-1's control planes, or the very Region that may be lost; an
 * error where the profile forbids it, with the setting that cures it. Whoever knows better acknowledges a rule:
 *
 *     Validations.of(app).addPlugins(new FailoverPathChecks());
 *     Validations.of(group).acknowledge({ id: 'Understudy::control-plane', reason: … });
 */
export class FailoverPathChecks implements IPolicyValidationPlugin {
  readonly name = 'Understudy';
  readonly version = '0.1.0';
  readonly ruleIds = ['control-plane', 'one-region', 'foreign-key', 'no-coordinator'];

  validate({ templatePaths }: IPolicyValidationContext): PolicyValidationPluginReport {
    const stacks = templatePaths
      .map((path) => ({ path, template: JSON.parse(readFileSync(path, 'utf8')) }))
      .filter(({ template }) => isOurs(template))
      .map(({ path, template }) => {
        const region = String(template.Description).split(' ').at(-1)!;
        return { path, region, template, facts: factsOf(region, template) };
      })
      .filter(({ facts }) => facts.replica);
    const violations = stacks.flatMap(({ path, facts, ...stack }) =>
      failoverDependencies([stack], facts.profile).map(
        ({ rule, resource, region, step, what, cure, severity }) => ({
          ruleName: rule,
          description: `${step} in ${region}: ${what}.`,
          fix: cure,
          severity,
          violatingResources: [
            {
              ...(resource === undefined ? {} : { resourceLogicalId: resource }),
              templatePath: path,
              locations: [],
            },
          ],
        }),
      ),
    );
    return { success: violations.every(({ severity }) => severity !== 'error'), violations };
  }
}
