import { ArnFormat, RemovalPolicy, Stack } from 'aws-cdk-lib';
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
import { explainWildcard } from '#lib/constructs/explain-wildcard.ts';
import { failoverGraph } from '#lib/constructs/failover-graph.ts';
import type { Handler } from '#lib/constructs/handler.ts';
import { workflowName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';
import type { RegionId } from '#lib/domain/ids.ts';

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
  readonly machine: StateMachine;
  readonly #place: Place;

  constructor(scope: Construct, id: string, place: Place, failover: Handler) {
    super(scope, id);
    this.#place = place;
    const { group } = place.config;
    const name = workflowName(group);
    const role = new Role(this, 'Role', {
      // For this workflow alone: nobody else's can have Step Functions act by it.
      assumedBy: new ServicePrincipal('states.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': place.account },
          ArnEquals: { 'aws:SourceArn': workflowArn(this, place) },
        },
      }),
    });
    role.addToPolicy(
      new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [failover.fn.functionArn] }),
    );
    role.addToPolicy(new PolicyStatement({ actions: [...LOG_DELIVERY, ...TRACES], resources: ['*'] }));
    explainWildcard(role, '*', 'Neither log delivery nor X-Ray has resources to name.');
    this.machine = new StateMachine(this, 'Machine', {
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
    this.machine.node.addDependency(role);
  }

  /** Starting an execution, and knowing of what. */
  grantStart(handler: Handler): void {
    const stateMachineArn = workflowArn(this, this.#place);
    handler.allow(['states:StartExecution'], [stateMachineArn]);
    handler.tell({ failover: { stateMachineArn } });
  }

  /** Starting a drill in any replica's Region, and asking how it ended: a switchover begins where the leader is. */
  grantDrill(handler: Handler): void {
    const { group, regions } = this.#place.config;
    const arns = regions.map(({ name }) => workflowArn(this, this.#place, name));
    handler.allow(['states:StartExecution'], arns);
    handler.allow(
      ['states:DescribeExecution'],
      arns.map((arn) => `${arn.replace(':stateMachine:', ':execution:')}:${group}-*-drill`),
      'Each drill is a run of its own: the wildcard stands for its epoch and when it was due.',
    );
    handler.tell({ failover: { stateMachineArn: workflowArn(this, this.#place) } });
  }
}

/** ARN of the workflow here, or in another Region: by its name, as its function has to know it, too. */
export function workflowArn(scope: Construct, { config }: Place, region?: RegionId): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    ...(region && { region }),
    resource: 'stateMachine',
    resourceName: workflowName(config.group),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}
