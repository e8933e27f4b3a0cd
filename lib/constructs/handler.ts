import { type Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Architecture,
  type Code,
  type EventSourceMappingOptions,
  Function as LambdaFunction,
  Runtime,
  StartingPosition,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type FunctionName, resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/** Where the code of a function comes from. It exports `handler` from a module `index`. */
export type CodeOf = (name: FunctionName) => Code;

type HandlerProps = {
  readonly place: Place;
  readonly name: FunctionName;
  /** MiB; a vCPU comes with 1769. */
  readonly memorySize: number;
  readonly timeout: Duration;
  /** What the code finds in UNDERSTUDY_CONFIG. */
  readonly settings: object;
  readonly code: CodeOf;
};

/**
 * A function with a role of its own, which begins with nothing but log group and traces: every `grantX(handler)`
 * of the other constructs adds to it. What the code has to know of them all is in `settings`.
 */
export class Handler extends Construct {
  readonly fn: LambdaFunction;
  readonly #role: Role;

  constructor(
    scope: Construct,
    id: string,
    { place, name, memorySize, timeout, settings, code }: HandlerProps,
  ) {
    super(scope, id);
    const { group } = place.config;
    const functionName = resourceName(group, name);
    const logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/${functionName}`,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.#role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(this.#role);
    this.fn = new LambdaFunction(this, 'Function', {
      functionName,
      description: `Understudy: ${name} of group ${group}`,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize,
      timeout,
      logGroup,
      role: this.#role,
      tracing: Tracing.ACTIVE,
      environment: {
        NODE_OPTIONS: '--enable-source-maps',
        UNDERSTUDY_CONFIG: Stack.of(this).toJsonString(settings),
      },
      code: code(name),
      handler: 'index.handler',
    });
    Validations.of(this.#role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray has no resources to name: PutTraceSegments and PutTelemetryRecords take only *.',
    });
  }

  /** Permission for `actions` on `resources`; `why` is the reason for a resource that ends in a wildcard. */
  allow(actions: readonly string[], resources: readonly string[], why?: string): void {
    this.#role.addToPolicy(new PolicyStatement({ actions: [...actions], resources: [...resources] }));
    if (why === undefined) return;
    for (const resource of resources) {
      if (!resource.endsWith('*')) continue;
      Validations.of(this.#role).acknowledge({ id: `AwsSolutions-IAM5[Resource::${resource}]`, reason: why });
    }
  }

  /** Reads a stream from its oldest record on, and retries a failing batch for as long as the stream keeps it. */
  readStream(id: string, streamArn: string, tableArn: string, options: EventSourceMappingOptions): void {
    this.allow(['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator'], [streamArn]);
    this.allow(
      ['dynamodb:ListStreams'],
      [`${tableArn}/stream/*`],
      'ListStreams acts on the streams of one table; their labels are times of creation.',
    );
    this.fn.addEventSourceMapping(id, {
      ...options,
      eventSourceArn: streamArn,
      startingPosition: StartingPosition.TRIM_HORIZON,
    });
  }
}
