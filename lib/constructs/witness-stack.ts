import { Duration, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { ControlStore } from '#lib/constructs/control-store.ts';
import { type CodeOf, Handler } from '#lib/constructs/handler.ts';
import { handlerCode } from '#lib/constructs/handler-code.ts';
import { MinuteTick } from '#lib/constructs/minute-tick.ts';
import { resourceName } from '#lib/constructs/names.ts';
import { type Place, tableArns } from '#lib/constructs/place.ts';
import { settingsOf } from '#lib/constructs/settings.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';

type WitnessStackProps = Place & {
  readonly failover: FailoverConfig;
  /** Bundled from `functions/` if not given. */
  readonly code?: CodeOf;
};

/** A Region that votes and holds no data: a control table, and the sentinel that watches the leader. */
export class WitnessStack extends Stack {
  constructor(scope: Construct, { failover, code = handlerCode, ...place }: WitnessStackProps) {
    super(scope, resourceName(place.config.group, place.region), {
      env: { account: place.account, region: place.region },
      description: `Understudy: witness of group ${place.config.group} in ${place.region}`,
    });
    const control = new ControlStore(this, 'Control', place);
    const sentinel = new Handler(this, 'sentinel', {
      place,
      name: 'sentinel',
      memorySize: 512,
      timeout: Duration.seconds(90),
      settings: { ...settingsOf(place), failover },
      code,
    });
    control.grantVote(sentinel);
    // Whether a leader's table takes a write is what a vote is about.
    sentinel.allow(['dynamodb:PutItem'], tableArns(this, place, place.config.table));
    new MinuteTick(this, 'Tick', place, [sentinel]);
  }
}
