import { isIP } from 'node:net';
import { Duration, Fn } from 'aws-cdk-lib';
import { FunctionUrlAuthType } from 'aws-cdk-lib/aws-lambda';
import { CfnHealthCheck, CfnRecordSet } from 'aws-cdk-lib/aws-route53';
import { Construct } from 'constructs';
import { type CodeOf, Handler, type HandlerSettings } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import { HEALTH_CHECK, regionSet } from '#lib/domain/control/flip-set.ts';

/** Whoever floods the URL must not take the account's other functions with him; health checks need a tenth of it. */
const CONCURRENCY = 5;

type LeaderCheckProps = {
  readonly place: Place;
  readonly settings: HandlerSettings;
  readonly record: RecordConfig;
  /** What the record names while this Region leads. */
  readonly target: string;
  readonly code: CodeOf;
};

/**
 * A Region's part of a record that health checks move: a function that says whether the Region leads, a health check
 * that asks it, and the Region's set of the record, which is an answer while the check is healthy.
 */
export class LeaderCheck extends Construct {
  readonly handler: Handler;

  constructor(scope: Construct, id: string, { place, settings, record, target, code }: LeaderCheckProps) {
    super(scope, id);
    this.handler = new Handler(this, 'leads', {
      place,
      name: 'leads',
      memorySize: 256,
      timeout: Duration.seconds(3),
      concurrency: CONCURRENCY,
      // Several requests a second, for ever, and nothing to be seen in any of them: traces would cost more than all else.
      traced: false,
      settings,
      code,
    });
    // Health checkers sign nothing, and the answer is no secret: one bit, the same for everybody.
    const { url } = this.handler.fn.addFunctionUrl({ authType: FunctionUrlAuthType.NONE });
    const check = new CfnHealthCheck(this, 'HealthCheck', {
      healthCheckConfig: {
        type: 'HTTPS',
        fullyQualifiedDomainName: Fn.select(2, Fn.split('/', url)),
        port: 443,
        resourcePath: '/',
        enableSni: true,
        ...HEALTH_CHECK,
      },
      healthCheckTags: [
        { key: 'Name', value: `${resourceName(place.config.group, 'leads')}-${place.region}` },
      ],
    });
    const { name, type, ttlSeconds, setIdentifier, weight, values } = regionSet(
      record,
      place.region,
      target,
      typeOf(target),
    );
    new CfnRecordSet(this, 'Record', {
      hostedZoneId: record.zoneId,
      name,
      type,
      ttl: String(ttlSeconds),
      setIdentifier,
      weight,
      resourceRecords: values,
      healthCheckId: check.attrHealthCheckId,
    });
  }
}

function typeOf(target: string): 'A' | 'AAAA' | 'CNAME' {
  const version = isIP(target);
  if (version === 0) return 'CNAME';
  return version === 4 ? 'A' : 'AAAA';
}
