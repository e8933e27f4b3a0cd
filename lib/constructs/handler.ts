import { ArnFormat, type Duration, Lazy, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Architecture,
  type CfnFunction,
  type Code,
  type EventSourceMappingOptions,
  type ILayerVersion,
  Function as LambdaFunction,
  Runtime,
  StartingPosition,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { explainWildcard } from '#lib/constructs/explain-wildcard.ts';
import { grantGroupKeys } from '#lib/constructs/group-key.ts';
import { type BundleName, type EngineKind, resourceName, roleName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/** Where the code of a function comes from, for groups of an engine. It exports `handler` from a module `index`. */
export type CodeOf = (name: BundleName, engine: EngineKind) => Code;

/** What the code of a function finds in UNDERSTUDY_CONFIG: sections, and values. */
export type HandlerSettings = Readonly<Record<string, unknown>>;

/** Where a function runs that needs more than AWS. */
export type HandlerNetwork = {
  readonly subnetIds: readonly string[];
  readonly securityGroupIds: readonly string[];
  readonly layers?: readonly ILayerVersion[];
};

/** What Lambda does with the function's role to put it into a network. */
const NETWORK_ACTIONS = [
  'ec2:AssignPrivateIpAddresses',
  'ec2:CreateNetworkInterface',
  'ec2:DeleteNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:UnassignPrivateIpAddresses',
];

type HandlerProps = {
  readonly place: Place;
  readonly name: BundleName;
  /** MiB; a vCPU comes with 1769. */
  readonly memorySize: number;
  readonly timeout: Duration;
  /** Invocations at a time, kept for this function alone and at the most. Default: what the account has. */
  readonly concurrency?: number;
  /** Default: true. */
  readonly traced?: boolean;
  /** Default: none of the account's. */
  readonly network?: HandlerNetwork | undefined;
  /** What the code finds in UNDERSTUDY_CONFIG, beside what it is told with a permission. */
  readonly settings: HandlerSettings;
  readonly code: CodeOf;
};

/**
 * A function with a role of its own, which begins with nothing but log group and traces: every `grantX(handler)`
 * of the other constructs adds to it, and tells the code what it needs to make use of it.
 */
export class Handler extends Construct {
  readonly fn: LambdaFunction;
  readonly role: Role;
  readonly #settings: Record<string, unknown>;

  constructor(
    scope: Construct,
    id: string,
    { place, name, memorySize, timeout, concurrency, traced = true, network, settings, code }: HandlerProps,
  ) {
    super(scope, id);
    const { group } = place.config;
    this.#settings = { ...settings };
    const functionName = resourceName(group, name);
    const logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/${functionName}`,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.role = new Role(this, 'Role', {
      roleName: roleName(group, name, place.region),
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    });
    logGroup.grantWrite(this.role);
    this.fn = new LambdaFunction(this, 'Function', {
      functionName,
      description: `Understudy: ${name} of group ${group}`,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize,
      timeout,
      ...(concurrency !== undefined && { reservedConcurrentExecutions: concurrency }),
      logGroup,
      role: this.role,
      tracing: traced ? Tracing.ACTIVE : Tracing.DISABLED,
      environment: {
        NODE_OPTIONS: '--enable-source-maps',
        UNDERSTUDY_CONFIG: Lazy.string({ produce: () => Stack.of(this).toJsonString(this.#settings) }),
      },
      code: code(name, place.config.engine.kind),
      handler: 'index.handler',
      ...(network?.layers && { layers: [...network.layers] }),
    });
    if (place.encryption === 'customer') grantGroupKeys(this.role, place);
    const xray = 'X-Ray has no resources to name: PutTraceSegments and PutTelemetryRecords take only *.';
    explainWildcard(
      this.role,
      '*',
      network === undefined ? xray : `${xray} ${this.#enter(network, functionName)}`,
    );
  }

  /** Puts the function into a network. Returns the reason for a permission on everything. */
  #enter({ securityGroupIds, subnetIds }: HandlerNetwork, functionName: string): string {
    const cfn = this.fn.node.defaultChild as CfnFunction;
    cfn.vpcConfig = { securityGroupIds: [...securityGroupIds], subnetIds: [...subnetIds] };
    const all = { actions: NETWORK_ACTIONS, resources: ['*'] };
    this.role.addToPolicy(new PolicyStatement(all));
    // By its name: the function waits for this policy.
    const functionArn = Stack.of(this).formatArn({
      service: 'lambda',
      resource: 'function',
      resourceName: functionName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const byItself = { ArnEquals: { 'lambda:SourceFunctionArn': functionArn } };
    this.role.addToPolicy(new PolicyStatement({ ...all, effect: Effect.DENY, conditions: byItself }));
    return 'Lambda makes the network interfaces of a function by its role, and takes no narrower permission; the code itself is denied it.';
  }

  /** Permission for `actions` on `resources`, if there are any; `why` is the reason for a resource that ends in a wildcard. */
  allow(actions: readonly string[], resources: readonly string[], why?: string): void {
    if (resources.length === 0) return;
    this.role.addToPolicy(new PolicyStatement({ actions: [...actions], resources: [...resources] }));
    if (why === undefined) return;
    for (const resource of resources) {
      if (resource.includes('*')) explainWildcard(this.role, resource, why);
    }
  }

  /** Adds to what the code finds in UNDERSTUDY_CONFIG; within a section, to what is there. */
  tell(settings: HandlerSettings): void {
    for (const [name, value] of Object.entries(settings)) {
      const before = this.#settings[name];
      this.#settings[name] = typeof value === 'object' ? { ...(before as object), ...value } : value;
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
