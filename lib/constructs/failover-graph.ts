import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Condition,
  Errors,
  type IChainable,
  IntegrationPattern,
  JsonPath,
  Pass,
  TaskInput,
  Timeout,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import { again, FailoverStates, is, retried } from '#lib/constructs/failover-states.ts';
import { repointGraph } from '#lib/constructs/repoint-graph.ts';
import type { GroupId } from '#lib/domain/ids.ts';

/** How long a person has to approve. */
const APPROVAL_TIMEOUT = Duration.hours(24);

/**
 * The states of the failover workflow, from the first on. Each step is a call of `failover` with {step, state}; what
 * it answers is put into the state document under the step's name, and its `outcome` says what comes next.
 *
 * A call that keeps failing is caught only where something has to be taken back. Anywhere else it stops the run at
 * its own state: Step Functions redrives it from there, which it can't from a Fail state. Should nobody do so, the
 * sentinels miss the run's beats, and the next epoch takes over.
 */
export function failoverGraph(scope: Construct, group: GroupId, failover: IFunction): IChainable {
  const states = new FailoverStates(scope, failover);
  const repoint = repointGraph(states);

  const unreasoned = states.fail(
    'NoReason',
    'FORCE_WITHOUT_REASON',
    'A forced failover was asked for without a reason: nothing has changed.',
    'Start it again with one; see docs/RUNBOOK.md#force_without_reason.',
  );
  const tooFew = states.fail(
    'TooFewRegions',
    'REGIONS_TOO_FEW',
    'Two Regions cannot outvote a lost one: nothing has changed.',
    'Add a witness or a third replica; see docs/RUNBOOK.md#regions_too_few.',
  );

  const promote = states.task(
    'Promote',
    'promote',
    'Makes the winner the leader of the epoch, in the register and in the roles.',
  );
  promote.next(
    states.choice(
      'Promoted?',
      'From here on the winner logs what is written to it.',
      [is('promote', 'promoted'), repoint],
      [is('promote', 'superseded'), states.superseded],
    ),
  );

  const drain = states.task(
    'Drain',
    'drain',
    'Brings the winner up to what other survivors hold of the log, and its store up to its log.',
  );
  drain.next(
    states.choice(
      'Drained?',
      'Nothing that a survivor holds may be missing at the new leader.',
      [is('drain', 'drained'), promote],
      [again('drain', 'draining'), states.wait('Wait to drain', drain)],
      [
        is('drain', 'draining'),
        states.fail(
          'Undrained',
          'Undrained',
          'The winner does not reach the end of its log, so nobody was promoted.',
          'See why apply fails there; the sentinels begin anew by themselves.',
        ),
      ],
      [is('drain', 'superseded'), states.superseded],
    ),
  );

  const elect = states.task(
    'Elect',
    'elect',
    'Finds the replica to promote, and the most that its promotion may lose.',
  );
  elect.next(
    states.choice(
      'Elected?',
      'The candidates, each with why it was taken or not, are in the output of the election.',
      [is('elect', 'elected'), drain],
      [
        is('elect', 'none'),
        states.fail(
          'NoCandidate',
          'NO_CANDIDATE',
          'No replica may be promoted.',
          'The candidates in the output of elect say why; see docs/RUNBOOK.md#no_candidate.',
        ),
      ],
    ),
  );

  const fence = states.task(
    'Fence',
    'fence',
    'Seals the log of the epoch that ends in every Region, and says of each rung of the fence whether it is proven.',
  );
  fence.next(
    states.choice(
      'Fenced?',
      'Nothing is promoted before the old leader is known to be unable to commit.',
      [is('fence', 'fenced'), elect],
      [
        again('fence', 'unproven'),
        states.wait('Wait to fence', fence, WaitTime.secondsPath('$.fence.waitSeconds')),
      ],
      [
        is('fence', 'unproven'),
        states.fail(
          'Unfenced',
          'Unfenced',
          'The old leader is not proven to be fenced, so nobody was promoted.',
          'The output of fence says why; the sentinels begin anew by themselves.',
        ),
      ],
      [is('fence', 'superseded'), states.superseded],
    ),
  );

  const claim = states.task(
    'Claim',
    'claim',
    'Takes the next epoch for this run, once a majority of the Regions has voted the leader out. Who comes second is superseded.',
  );
  claim.next(
    states.choice(
      'Claimed?',
      'One run only ever gets an epoch.',
      [is('claim', 'claimed'), fence],
      [again('claim', 'withheld'), states.wait('Wait to claim', claim)],
      [is('claim', 'withheld'), states.refused],
      [is('claim', 'superseded'), states.superseded],
      // Only what is refused has a code.
      [Condition.stringEquals('$.claim.code', 'FORCE_WITHOUT_REASON'), unreasoned],
      [Condition.stringEquals('$.claim.code', 'REGIONS_TOO_FEW'), tooFew],
      [is('claim', 'refused'), states.refused],
    ),
  );

  const abandon = states.task(
    'Abandon',
    'abandon',
    'Takes the switchover back: the old leader is lent its lease again.',
  );
  abandon.next(
    states.choice(
      'Taken back?',
      'A successor that was promoted by a call whose answer was lost stays the leader.',
      [is('abandon', 'handed-over'), repoint],
      [
        is('abandon', 'abandoned'),
        states.fail(
          'SwitchoverAborted',
          'FAILOVER_REFUSED',
          'The switchover could not go on and was taken back: the old leader leads, and nothing is lost.',
          'The output of the handover says why; see docs/RUNBOOK.md#failover_refused.',
        ),
      ],
    ),
  );
  const handover = states.task(
    'Hand over',
    'handover',
    'The leader stops writes and logs the last of them; the successor gets them, and is promoted.',
  );
  handover.addCatch(abandon, { resultPath: '$.error' });
  handover.next(
    states.choice(
      'Handed over?',
      'A leader that has given its lease up and can go no further gets it back.',
      [is('handover', 'handed-over'), repoint],
      [is('handover', 'claimed'), fence],
      [
        Condition.and(is('handover', 'refused'), Condition.booleanEquals('$.handover.stopped', false)),
        states.refused,
      ],
      [is('handover', 'refused'), abandon],
    ),
  );

  const planned = states.choice(
    'Planned?',
    'A switchover begins at the leader, with its consent; a failover does without.',
    [Condition.stringEquals('$.input.kind', 'switchover'), handover],
    [Condition.stringEquals('$.input.kind', 'failover'), claim],
  );
  const notApproved = states.fail(
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
    states.choice(
      'Approved?',
      'Nothing has been touched so far.',
      [is('approve', 'approved'), planned],
      [is('approve', 'denied'), notApproved],
    ),
  );
  const begin = states.choice(
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
