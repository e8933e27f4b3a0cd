import { App, Stack } from 'aws-cdk-lib';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { StateGraph } from 'aws-cdk-lib/aws-stepfunctions';
import type { StateMachineDefinition } from 'aws-local-stepfunctions';
import { failoverGraph } from '#lib/constructs/failover-graph.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';
import { filledIn } from '#lib/local/filled-in.ts';

/** What the failover function of a Region is called in the embedded cloud. */
export function functionArn(group: GroupId, region: RegionId): string {
  return `arn:aws:lambda:${region}:000000000000:function:${resourceName(group, 'failover')}`;
}

/**
 * The failover workflow in the Amazon States Language: the very states that are deployed, synthesized in this
 * process. Takes some 100 ms, once a process.
 */
export function failoverDefinition(group: GroupId, region: RegionId): StateMachineDefinition {
  const stack = new Stack(new App({ autoSynth: false }), 'Workflow');
  const failover = LambdaFunction.fromFunctionArn(stack, 'Function', functionArn(group, region));
  const graph = new StateGraph(failoverGraph(stack, group, failover).startState, 'failover');
  return JSON.parse(JSON.stringify(stack.resolve(graph.toGraphJson()), filledIn));
}
