import { createHash } from 'node:crypto';
import { ArnFormat, CustomResource, Duration, Lazy, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { type CodeOf, Handler, type HandlerSettings } from '#lib/constructs/handler.ts';
import { type Place, tableArn } from '#lib/constructs/place.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import { tableOf } from '#lib/domain/topology.ts';

/** `-c understudy:deploy-anyway=REASON` deploys over what the check refuses. */
const ANYWAY = 'understudy:deploy-anyway';

type DeployCheckProps = {
  readonly place: Place;
  readonly settings: HandlerSettings;
  readonly record: FailoverConfig['record'];
  /** Whether the table was there before the group. */
  readonly existing: boolean;
  readonly code: CodeOf;
};

/**
 * The first thing that a deployment does: asks whether the group may be deployed over as it is. If not, nothing else
 * has been touched yet, and the deployment ends with the reason.
 */
export class DeployCheck extends Construct {
  readonly handler: Handler;
  readonly #resource: CustomResource;

  constructor(scope: Construct, id: string, { place, settings, record, existing, code }: DeployCheckProps) {
    super(scope, id);
    this.handler = new Handler(this, 'deploy-check', {
      place,
      name: 'deploy-check',
      memorySize: 512,
      timeout: Duration.seconds(60),
      settings,
      code,
    });
    this.#allow(place, record, existing);
    const anyway: unknown = this.node.tryGetContext(ANYWAY);
    this.#resource = new CustomResource(this, 'Resource', {
      resourceType: 'Custom::UnderstudyDeployCheck',
      serviceToken: this.handler.fn.functionArn,
      // A function that never answers must not hold a deployment up for the hour that CloudFormation would wait.
      serviceTimeout: Duration.minutes(3),
      properties: {
        existing,
        ...(typeof anyway === 'string' && { anyway }),
        // CloudFormation asks again only where a property has changed: so whenever anything of the stack has.
        template: Lazy.string({ produce: () => this.#fingerprint() }),
      },
    });
  }

  /** The stream of the table of this Region that was there before the group. */
  get streamArn(): string {
    return this.#resource.getAttString('StreamArn');
  }

  /** Makes all else in the stack wait for it. Call it last. */
  comeFirst(): void {
    for (const child of Stack.of(this).node.children) {
      if (child !== this) child.node.addDependency(this.#resource);
    }
  }

  #allow(place: Place, record: FailoverConfig['record'], existing: boolean): void {
    const stack = Stack.of(this);
    this.handler.allow(
      ['cloudformation:DescribeStacks'],
      [
        stack.formatArn({
          service: 'cloudformation',
          resource: 'stack',
          resourceName: `${stack.stackName}/*`,
        }),
      ],
      'It is this one stack: CloudFormation puts an id after its name when it is created.',
    );
    if (record !== undefined) {
      const zone = { service: 'route53', region: '', account: '', resource: 'hostedzone' };
      this.handler.allow(
        [
          'route53:GetHostedZone',
          ...(record.flip === 'data-plane' ? ['route53:ListResourceRecordSets'] : []),
        ],
        [stack.formatArn({ ...zone, resourceName: record.zoneId, arnFormat: ArnFormat.SLASH_RESOURCE_NAME })],
      );
    }
    const { register } = place.config;
    if (register !== undefined) {
      this.handler.allow(['dynamodb:DescribeTable'], [tableArn(this, register.table, place.region)]);
    }
    if (!existing) return;
    this.handler.allow(
      [
        'dynamodb:DescribeTable',
        'dynamodb:ListTagsOfResource',
        'dynamodb:TagResource',
        'dynamodb:UntagResource',
      ],
      [tableArn(this, tableOf(place.config).table, place.region)],
    );
  }

  #hashing = false;

  /** Of the stack's template, but for this very property. */
  #fingerprint(): string {
    if (this.#hashing) return '';
    this.#hashing = true;
    try {
      const stack = Stack.of(this) as Stack & { _toCloudFormation(): object };
      const template = JSON.stringify(stack.resolve(stack._toCloudFormation()));
      return createHash('sha256').update(template).digest('hex').slice(0, 16);
    } finally {
      this.#hashing = false;
    }
  }
}
