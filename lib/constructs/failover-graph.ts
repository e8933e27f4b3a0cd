import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  type IChainable,
  IntegrationPattern,
  JitterType,
  JsonPath,
  Pass,
  Succeed,
  TaskInput,
  Timeout,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import type { GroupId } from '#lib/domain/ids.ts';

/** How long the function may take for one step; some wait inside, for as long as 20 s. */
export const STEP_TIMEOUT = Duration.seconds(60);
/** How long a person has to approve. */
const APPROVAL_TIMEOUT = Duration.hours(24);
/** Tries of a step that has to wait for others before the run gives up. The function counts them. */
const TRIES = { claim: 10, fence: 60, drain: 300, dns: 30, verify: 10 } as const;

type Rule = readonly [when: Condition, next: IChainable];

/**
 * The states of the failover workflow, from the first on. Each step is a call of `failover` with {step, state}; what
 * it answers is put into the state document under the step's name, and its `outcome` says what comes next.
 *
 * A call that keeps failing is caught only where something has to be taken back. Anywhere else it stops the run at
 * its own state: Step Functions redrives it from there, which it can't from a Fail state. Should nobody do so, the
 * sentinels miss the run's beats, and the next epoch takes over.
 */
export function failoverGraph(scope: Construct, group: GroupId, failover: IFunction): IChainable {
  const task = (name: string, step: string, comment: string) =>
    retried(
      new LambdaInvoke(scope, name, {
        comment,
        lambdaFunction: failover,
        payload: TaskInput.fromObject({ step, state: JsonPath.entirePayload }),
        payloadResponseOnly: true,
        resultPath: `$.${step}`,
        retryOnServiceExceptions: false,
        // Above the function's own: one that takes too long says so itself.
        taskTimeout: Timeout.duration(STEP_TIMEOUT.plus(Duration.seconds(10))),
      }),
    );
  const choice = (name: string, comment: string, ...rules: readonly Rule[]) =>
    // Without a default: an outcome that nobody knows stops the run rather than to pass for another.
    rules.reduce((made, [when, next]) => made.when(when, next), new Choice(scope, name, { comment }));
  const wait = (name: string, next: IChainable, time = WaitTime.duration(Duration.seconds(1))) =>
    new Wait(scope, name, { time, comment: 'The next try may find it otherwise.' }).next(next);
  const fail = (name: string, error: string, comment: string, next: string) =>
    new Fail(scope, name, { error, comment, cause: `${comment} ${next}` });

  const superseded = new Succeed(scope, 'Superseded', {
    comment: 'Another run was first, or took over: it goes on, this one has nothing left to do.',
  });
  const refused = fail(
    'Refused',
    'FAILOVER_REFUSED',
    'A guard forbids it, or the leader is alive: nothing has changed.',
    'The output of the last step says why, docs/RUNBOOK.md#failover_refused what to do.',
  );
  const unreasoned = fail(
    'NoReason',
    'FORCE_WITHOUT_REASON',
    'A forced failover was asked for without a reason: nothing has changed.',
    'Start it again with one; see docs/RUNBOOK.md#force_without_reason.',
  );
  const tooFew = fail(
    'TooFewRegions',
    'REGIONS_TOO_FEW',
    'Two Regions cannot outvote a lost one: nothing has changed.',
    'Add a witness or a third replica; see docs/RUNBOOK.md#regions_too_few.',
  );

  const verify = task(
    'Verify',
    'verify',
    'Commits a write at the new leader, and looks whether DNS names it.',
  );
  verify.next(
    choice(
      'Verified?',
      'Done only when clients can find the new leader and write there.',
      [
        is('verify', 'verified'),
        new Succeed(scope, 'Done', { comment: 'The new leader leads, and clients find it.' }),
      ],
      [again('verify', 'unverified'), wait('Wait to verify', verify)],
      [
        is('verify', 'unverified'),
        fail(
          'Unverified',
          'Unverified',
          'The new leader is in place, but no write comes through, or DNS does not name it.',
          'The output of verify says why; see understudy status.',
        ),
      ],
      [is('verify', 'superseded'), superseded],
    ),
  );

  const dns = task('Await DNS', 'dns', 'Waits until all DNS servers of the zone answer with the new leader.');
  dns.next(
    choice(
      'In sync?',
      'Clients that ask from now on find the new leader; those that asked before do so within the TTL.',
      [is('dns', 'in-sync'), verify],
      [again('dns', 'pending'), dns],
      [
        is('dns', 'pending'),
        fail(
          'DnsPending',
          'DnsPending',
          'The new leader is in place, but not all servers of Route 53 answer with it.',
          'See the health of Route 53 and of its health checks, then understudy status.',
        ),
      ],
      [is('dns', 'superseded'), superseded],
    ),
  );

  const repoint = task(
    'Repoint',
    'repoint',
    "Points the clients' DNS name at the new leader, if the record is still what the run has read.",
  );
  repoint.next(
    choice(
      'Repointed?',
      'The change is a compare-and-set on the epoch in the record: a late run changes nothing.',
      [is('repoint', 'submitted'), dns],
      [is('repoint', 'by-health-checks'), dns],
      [is('repoint', 'already'), verify],
      [
        is('repoint', 'stale'),
        fail(
          'StalePlan',
          'PLAN_STALE',
          'The new leader is in place, but somebody else has changed the DNS record.',
          'The output of repoint says what it names; see docs/RUNBOOK.md#plan_stale.',
        ),
      ],
      [is('repoint', 'superseded'), superseded],
    ),
  );

  const promote = task(
    'Promote',
    'promote',
    'Makes the winner the leader of the epoch, in the register and in the roles.',
  );
  promote.next(
    choice(
      'Promoted?',
      'From here on the winner logs what is written to it.',
      [is('promote', 'promoted'), repoint],
      [is('promote', 'superseded'), superseded],
    ),
  );

  const drain = task(
    'Drain',
    'drain',
    'Brings the winner up to what other survivors hold of the log, and its store up to its log.',
  );
  drain.next(
    choice(
      'Drained?',
      'Nothing that a survivor holds may be missing at the new leader.',
      [is('drain', 'drained'), promote],
      [again('drain', 'draining'), wait('Wait to drain', drain)],
      [
        is('drain', 'draining'),
        fail(
          'Undrained',
          'Undrained',
          'The winner does not reach the end of its log, so nobody was promoted.',
          'See why apply fails there; the sentinels begin anew by themselves.',
        ),
      ],
      [is('drain', 'superseded'), superseded],
    ),
  );

  const elect = task(
    'Elect',
    'elect',
    'Finds the replica to promote, and the most that its promotion may lose.',
  );
  elect.next(
    choice(
      'Elected?',
      'The candidates, each with why it was taken or not, are in the output of the election.',
      [is('elect', 'elected'), drain],
      [
        is('elect', 'none'),
        fail(
          'NoCandidate',
          'NO_CANDIDATE',
          'No replica may be promoted.',
          'The candidates in the output of elect say why; see docs/RUNBOOK.md#no_candidate.',
        ),
      ],
    ),
  );

  const fence = task(
    'Fence',
    'fence',
    'Seals the log of the epoch that ends in every Region, and says of each rung of the fence whether it is proven.',
  );
  fence.next(
    choice(
      'Fenced?',
      'Nothing is promoted before the old leader is known to be unable to commit.',
      [is('fence', 'fenced'), elect],
      [again('fence', 'unproven'), wait('Wait to fence', fence, WaitTime.secondsPath('$.fence.waitSeconds'))],
      [
        is('fence', 'unproven'),
        fail(
          'Unfenced',
          'Unfenced',
          'The old leader is not proven to be fenced, so nobody was promoted.',
          'The output of fence says why; the sentinels begin anew by themselves.',
        ),
      ],
      [is('fence', 'superseded'), superseded],
    ),
  );

  const claim = task(
    'Claim',
    'claim',
    'Takes the next epoch for this run, once a majority of the Regions has voted the leader out. Who comes second is superseded.',
  );
  claim.next(
    choice(
      'Claimed?',
      'One run only ever gets an epoch.',
      [is('claim', 'claimed'), fence],
      [again('claim', 'withheld'), wait('Wait to claim', claim)],
      [is('claim', 'withheld'), refused],
      [is('claim', 'superseded'), superseded],
      // Only what is refused has a code.
      [Condition.stringEquals('$.claim.code', 'FORCE_WITHOUT_REASON'), unreasoned],
      [Condition.stringEquals('$.claim.code', 'REGIONS_TOO_FEW'), tooFew],
      [is('claim', 'refused'), refused],
    ),
  );

  const abandon = task(
    'Abandon',
    'abandon',
    'Takes the switchover back: the old leader is lent its lease again.',
  );
  abandon.next(
    choice(
      'Taken back?',
      'A successor that was promoted by a call whose answer was lost stays the leader.',
      [is('abandon', 'handed-over'), repoint],
      [
        is('abandon', 'abandoned'),
        fail(
          'SwitchoverAborted',
          'FAILOVER_REFUSED',
          'The switchover could not go on and was taken back: the old leader leads, and nothing is lost.',
          'The output of the handover says why; see docs/RUNBOOK.md#failover_refused.',
        ),
      ],
    ),
  );
  const handover = task(
    'Hand over',
    'handover',
    'The leader stops writes and logs the last of them; the successor gets them, and is promoted.',
  );
  handover.addCatch(abandon, { resultPath: '$.error' });
  handover.next(
    choice(
      'Handed over?',
      'A leader that has given its lease up and can go no further gets it back.',
      [is('handover', 'handed-over'), repoint],
      [is('handover', 'claimed'), fence],
      [
        Condition.and(is('handover', 'refused'), Condition.booleanEquals('$.handover.stopped', false)),
        refused,
      ],
      [is('handover', 'refused'), abandon],
    ),
  );

  const planned = choice(
    'Planned?',
    'A switchover begins at the leader, with its consent; a failover does without.',
    [Condition.stringEquals('$.input.kind', 'switchover'), handover],
    [Condition.stringEquals('$.input.kind', 'failover'), claim],
  );
  const notApproved = fail(
    'NotApproved',
    'FAILOVER_REFUSED',
    'A person said no, or nobody answered in a day: nothing has changed.',
    'To fail over all the same: understudy failover.',
  );
  const approve = new LambdaInvoke(scope, 'Approve', {
    comment: 'Waits for a person: understudy approve.',
    lambdaFunction: failover,
    integrationPattern: IntegrationPattern.WAIT_FOR_TASK_TOKEN,
    payload: TaskInput.fromObject({
      step: 'approve',
      state: JsonPath.entirePayload,
      token: JsonPath.taskToken,
    }),
    resultPath: '$.approve',
    retryOnServiceExceptions: false,
    taskTimeout: Timeout.duration(APPROVAL_TIMEOUT),
  });
  approve.addRetry({ errors: [Errors.TIMEOUT], maxAttempts: 0 });
  retried(approve).addCatch(notApproved, { errors: [Errors.TIMEOUT], resultPath: '$.error' });
  approve.next(
    choice(
      'Approved?',
      'Nothing has been touched so far.',
      [is('approve', 'approved'), planned],
      [is('approve', 'denied'), notApproved],
    ),
  );
  const begin = choice(
    'Approval asked for?',
    'The cautious profile asks a person first.',
    [Condition.booleanEquals('$.input.approval', true), approve],
    [Condition.booleanEquals('$.input.approval', false), planned],
  );

  return new Pass(scope, 'Defaults', {
    comment: 'A run that is started by hand needs the epoch that is to end, {"epoch": 7}, and nothing else.',
    parameters: {
      defaults: { group, kind: 'failover', trigger: 'operator', approval: false },
      given: JsonPath.entirePayload,
      own: { run: JsonPath.executionName },
    },
  }).next(
    new Pass(scope, 'Input', {
      comment:
        'What is given goes before defaults. The run bears the name of the execution, whatever is given.',
      parameters: {
        input: JsonPath.jsonMerge(
          JsonPath.jsonMerge(JsonPath.objectAt('$.defaults'), JsonPath.objectAt('$.given')),
          JsonPath.objectAt('$.own'),
        ),
      },
    }).next(begin),
  );
}

/** A failure may pass: some tries more, at random times so that runs in other Regions don't meet again. */
function retried(task: LambdaInvoke): LambdaInvoke {
  return task.addRetry({
    errors: [Errors.ALL],
    interval: Duration.seconds(1),
    backoffRate: 2,
    maxDelay: Duration.seconds(5),
    maxAttempts: 5,
    jitterStrategy: JitterType.FULL,
  }) as LambdaInvoke;
}

function is(step: string, outcome: string): Condition {
  return Condition.stringEquals(`$.${step}.outcome`, outcome);
}

/** The outcome of a step that may be tried once more. */
function again(step: keyof typeof TRIES, outcome: string): Condition {
  return Condition.and(is(step, outcome), Condition.numberLessThan(`$.${step}.tries`, TRIES[step]));
}
