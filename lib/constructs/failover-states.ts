import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  type IChainable,
  JitterType,
  JsonPath,
  Succeed,
  TaskInput,
  Timeout,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import { FAILING_TRIES, WAITING_TRIES } from '#lib/domain/control/run-end.ts';

/** How long the function may take for one step; some wait inside, for as long as 20 s. */
export const STEP_TIMEOUT = Duration.seconds(60);

type Rule = readonly [when: Condition, next: IChainable];

/** What the failover workflow is made of: its kinds of states, and the ends that several of them share. */
export class FailoverStates {
  readonly scope: Construct;
  readonly failover: IFunction;
  readonly superseded: Succeed;
  readonly refused: Fail;

  /** @param failover the function that makes each step. */
  constructor(scope: Construct, failover: IFunction) {
    this.scope = scope;
    this.failover = failover;
    this.superseded = new Succeed(scope, 'Superseded', {
      comment: 'Another run was first, or took over: it goes on, this one has nothing left to do.',
    });
    this.refused = this.fail(
      'Refused',
      'FAILOVER_REFUSED',
      'A guard forbids it, or the leader is alive: nothing has changed.',
      'The output of the last step says why, docs/RUNBOOK.md#failover_refused what to do.',
    );
  }

  /** A call of the function with {step, state}; what it answers is put into the state under the step's name. */
  task(name: string, step: string, comment: string): LambdaInvoke {
    return retried(
      new LambdaInvoke(this.scope, name, {
        comment,
        lambdaFunction: this.failover,
        payload: TaskInput.fromObject({ step, state: JsonPath.entirePayload }),
        payloadResponseOnly: true,
        resultPath: `$.${step}`,
        retryOnServiceExceptions: false,
        // Above the function's own: one that takes too long says so itself.
        taskTimeout: Timeout.duration(STEP_TIMEOUT.plus(Duration.seconds(10))),
      }),
    );
  }

  /** Without a default: an outcome that nobody knows stops the run rather than to pass for another. */
  choice(name: string, comment: string, ...rules: readonly Rule[]): Choice {
    return rules.reduce(
      (made, [when, next]) => made.when(when, next),
      new Choice(this.scope, name, { comment }),
    );
  }

  wait(name: string, next: IChainable, time = WaitTime.duration(Duration.seconds(1))): IChainable {
    return new Wait(this.scope, name, { time, comment: 'The next try may find it otherwise.' }).next(next);
  }

  fail(name: string, error: string, comment: string, next: string): Fail {
    return new Fail(this.scope, name, { error, comment, cause: `${comment} ${next}` });
  }
}

/** A failure may pass: some tries more, at random times so that runs in other Regions don't meet again. */
export function retried(task: LambdaInvoke): LambdaInvoke {
  return task.addRetry({
    errors: [Errors.ALL],
    interval: Duration.seconds(1),
    backoffRate: 2,
    maxDelay: Duration.seconds(5),
    maxAttempts: FAILING_TRIES - 1,
    jitterStrategy: JitterType.FULL,
  }) as LambdaInvoke;
}

export function is(step: string, outcome: string): Condition {
  return Condition.stringEquals(`$.${step}.outcome`, outcome);
}

/** The outcome of a step that may be tried once more. The function counts the tries. */
export function again(step: keyof typeof WAITING_TRIES, outcome: string): Condition {
  return Condition.and(is(step, outcome), Condition.numberLessThan(`$.${step}.tries`, WAITING_TRIES[step]));
}
