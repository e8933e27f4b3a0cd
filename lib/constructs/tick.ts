import type { Duration } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { Handler } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/** Invokes functions at intervals. */
export class Tick extends Construct {
  constructor(
    scope: Construct,
    id: string,
    place: Place,
    { name, every }: { readonly name: string; readonly every: Duration },
    handlers: readonly Handler[],
  ) {
    super(scope, id);
    const rule = new Rule(this, 'Rule', {
      ruleName: resourceName(place.config.group, name),
      schedule: Schedule.rate(every),
    });
    for (const { fn } of handlers) {
      fn.addPermission('Tick', {
        principal: new ServicePrincipal('events.amazonaws.com'),
        sourceArn: rule.ruleArn,
        sourceAccount: place.account,
      });
      // A tick that is late or has failed is not worth a second try: there is another one to come.
      fn.configureAsyncInvoke({ retryAttempts: 0 });
      // Not the LambdaFunction target: it works the stack's name, and so the Region, into a logical ID.
      rule.addTarget({
        bind: () => ({
          arn: fn.functionArn,
          input: RuleTargetInput.fromObject({ kind: 'tick' }),
          retryPolicy: { maximumEventAgeInSeconds: 60, maximumRetryAttempts: 0 },
        }),
      });
    }
  }
}
