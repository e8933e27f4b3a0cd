import { ArnFormat, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import {
  DefinitionBody,
  LogLevel,
  QueryLanguage,
  StateMachine,
  StateMachineType,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { failoverGraph } from '#lib/constructs/failover-graph.ts';
import type { Handler } from '#lib/constructs/handler.ts';
import { workflowName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/** What a state machine needs to send its log to a log group; CloudWatch knows no resources for it. */
const LOG_DELIVERY = [
  'logs:CreateLogDelivery',
  'logs:GetLogDelivery',
  'logs:UpdateLogDelivery',
  'logs:DeleteLogDelivery',
  'logs:ListLogDeliveries',
  'logs:PutResourcePolicy',
  'logs:DescribeResourcePolicies',
  'logs:DescribeLogGroups',
];
const TRACES = [
  'xray:PutTraceSegments',
  'xray:PutTelemetryRecords',
  'xray:GetSamplingRules',
  'xray:GetSamplingTargets',
];

/** The failover workflow of a Region: one state machine, all of whose steps are calls of one function. */
export class FailoverWorkflow extends Construct {
  readonly #place: Place;

  constructor(scope: Construct, id: string, place: Place, failover: Handler) {
    super(scope, id);
    this.#place = place;
    const { group } = place.config;
    const name = workflowName(group);
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('states.amazonaws.com') });
    role.addToPolicy(
      new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [failover.fn.functionArn] }),
    );
    role.addToPolicy(new PolicyStatement({ actions: [...LOG_DELIVERY, ...TRACES], resources: ['*'] }));
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'Neither log delivery nor X-Ray has resources to name.',
    });
    const machine = new StateMachine(this, 'Machine', {
      stateMachineName: name,
      stateMachineType: StateMachineType.STANDARD,
      queryLanguage: QueryLanguage.JSON_PATH,
      comment: `Understudy: failover of group ${group}, as coordinated by this Region`,
      definitionBody: DefinitionBody.fromChainable(failoverGraph(this, group, failover.fn)),
      // What the CDK would add: leave to invoke every version of the function.
      role: role.withoutPolicyUpdates(),
      tracingEnabled: true,
      logs: {
        level: LogLevel.ALL,
        includeExecutionData: true,
        destination: new LogGroup(this, 'Logs', {
          // The prefix keeps the policy of the log service from growing with each workflow.
          logGroupName: `/aws/vendedlogs/states/${name}`,
          retention: RetentionDays.ONE_MONTH,
          removalPolicy: RemovalPolicy.DESTROY,
        }),
      },
    });
    machine.node.addDependency(role);
  }

  /** Starting an execution. */
  grantStart(handler: Handler): void {
    handler.allow(['states:StartExecution'], [workflowArn(this, this.#place)]);
  }
}

/** ARN of the workflow here: by its name, as its function has to know it, too. */
export function workflowArn(scope: Construct, place: Place): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    resource: 'stateMachine',
    resourceName: workflowName(place.config.group),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}
