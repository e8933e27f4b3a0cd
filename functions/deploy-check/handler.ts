import { setTimeout as sleep } from 'node:timers/promises';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import middy from '@middy/core';
import {
  answer,
  type CustomResourceAnswer,
  type CustomResourceEvent,
  customResourceEvent,
} from '#functions/deploy-check/custom-resource.ts';
import { parsed, reported } from '#functions/middleware.ts';
import { theRuntime } from '#functions/runtime.ts';
import { AwsExistingTable } from '#lib/aws/aws-existing-table.ts';
import { AwsRegisterTable } from '#lib/aws/aws-register-table.ts';
import { CloudFormationStacks } from '#lib/aws/cloudformation-stacks.ts';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { Route53Zones } from '#lib/aws/route53-zones.ts';
import type { Finding } from '#lib/domain/deploy-check.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { tableOf } from '#lib/domain/topology.ts';
import { checkDeploy } from '#lib/usecases/check-deploy.ts';

/** Before anything else of a stack is created or changed: may it be? CloudFormation rolls back what is refused. */
export const handler = middy<CustomResourceEvent, void>()
  .use(reported('deploy-check'))
  .use(parsed(customResourceEvent))
  .handler(async (event) => {
    const { config, region, telemetry } = theRuntime();
    let body: CustomResourceAnswer;
    try {
      body = await decide(event);
    } catch (error) {
      telemetry.event('deploy-check-failed', { why: String(error), request: event.RequestType });
      // A stack that is being deleted, or taken back, must not be held up by what can no longer be asked.
      body =
        event.RequestType === 'Delete'
          ? { Status: 'SUCCESS' }
          : { Status: 'FAILED', Reason: messageOf(error) };
    }
    await answer(event, `understudy-${config.group}-${region}`, body);
  });

async function decide({
  RequestType,
  StackId,
  ResourceProperties,
}: CustomResourceEvent): Promise<CustomResourceAnswer> {
  const { config, region, peers, telemetry } = theRuntime();
  const { dynamodb } = peers.clients(region);
  const existing = ResourceProperties.existing === 'true';
  const table = existing ? new AwsExistingTable({ dynamodb, table: tableOf(config).table }) : undefined;
  if (RequestType === 'Delete') {
    await table?.release(config.group);
    return { Status: 'SUCCESS' };
  }
  const verdict = await checkDeploy({
    config,
    region,
    record: config.failover.record,
    acceptor: (at) => peers.acceptor(at),
    role: (at) => peers.control(at).role(),
    register:
      config.register &&
      new AwsRegisterTable({
        dynamodb: peers.clients(region).register,
        region,
        table: config.register.table,
      }),
    zones: new Route53Zones(createRoute53Client(route53())),
    table,
    sleep: (ms) => sleep(ms, undefined, { ref: false }),
  });
  if (verdict.kind === 'fit') return passed(verdict.streamArn);
  const error = refused(verdict.findings);
  const { anyway } = ResourceProperties;
  if (anyway === undefined && !(await isRollingBack(StackId))) throw error;
  telemetry.event('deployed-anyway', {
    why: anyway ?? 'the stack is being rolled back',
    refusal: error.message,
  });
  return passed((await table?.look())?.streamArn);
}

function passed(streamArn: string | undefined): CustomResourceAnswer {
  return { Status: 'SUCCESS', ...(streamArn && { Data: { StreamArn: streamArn } }) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Each finding with its own fix; the last fix is what the error says to do next. */
function refused(findings: readonly Finding[]): UnderstudyError {
  const sentences = findings.flatMap(({ what, fix }) => [what, fix]);
  const next = sentences.pop()!;
  return new UnderstudyError('DEPLOY_REFUSED', sentences.join(' ').replace(/\.$/, ''), next);
}

/** To go back to what was deployed before is no deployment: it would fail, and the stack be stuck. */
async function isRollingBack(stackId: string): Promise<boolean> {
  const { config, region, telemetry } = theRuntime();
  const { cloudformation: endpoint, credentials } = config.endpoints[region] ?? {};
  const client = new CloudFormationClient({
    region,
    ...(endpoint && { endpoint }),
    ...(credentials && { credentials }),
  });
  try {
    return await new CloudFormationStacks(client).isRollingBack(stackId);
  } catch (error) {
    telemetry.event('stack-unknown', { why: String(error) });
    return false;
  } finally {
    client.destroy();
  }
}

function route53() {
  const { config, region } = theRuntime();
  const { route53: endpoint, credentials } = config.endpoints[region] ?? {};
  return { ...(endpoint && { endpoint }), ...(credentials && { credentials }) };
}
