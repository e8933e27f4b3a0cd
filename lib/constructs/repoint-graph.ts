import { type IChainable, Succeed } from 'aws-cdk-lib/aws-stepfunctions';
import { again, type FailoverStates, is } from '#lib/constructs/failover-states.ts';

/** The states by which clients come to a leader that is in place, from the change of DNS to the end of the run. */
export function repointGraph(states: FailoverStates): IChainable {
  const verify = states.task(
    'Verify',
    'verify',
    'Commits a write at the new leader, and looks whether DNS names it.',
  );
  verify.next(
    states.choice(
      'Verified?',
      'Done only when clients can find the new leader and write there.',
      [
        is('verify', 'verified'),
        new Succeed(states.scope, 'Done', { comment: 'The new leader leads, and clients find it.' }),
      ],
      [again('verify', 'unverified'), states.wait('Wait to verify', verify)],
      [
        is('verify', 'unverified'),
        states.fail(
          'Unverified',
          'Unverified',
          'The new leader is in place, but no write comes through, or DNS does not name it.',
          'The output of verify says why; see understudy status.',
        ),
      ],
      [is('verify', 'superseded'), states.superseded],
    ),
  );

  const dns = states.task(
    'Await DNS',
    'dns',
    'Waits until all DNS servers of the zone answer with the new leader.',
  );
  dns.next(
    states.choice(
      'In sync?',
      'Clients that ask from now on find the new leader; those that asked before do so within the TTL.',
      [is('dns', 'in-sync'), verify],
      [again('dns', 'pending'), dns],
      [
        is('dns', 'pending'),
        states.fail(
          'DnsPending',
          'DnsPending',
          'The new leader is in place, but not all servers of Route 53 answer with it.',
          'See the health of Route 53 and of its health checks, then understudy status.',
        ),
      ],
      [is('dns', 'superseded'), states.superseded],
    ),
  );

  const repoint = states.task(
    'Repoint',
    'repoint',
    "Points the clients' DNS name at the new leader, if the record is still what the run has read.",
  );
  repoint.next(
    states.choice(
      'Repointed?',
      'The change is a compare-and-set on the epoch in the record: a late run changes nothing.',
      [is('repoint', 'submitted'), dns],
      [is('repoint', 'by-health-checks'), dns],
      [is('repoint', 'already'), dns],
      [
        is('repoint', 'stale'),
        states.fail(
          'StalePlan',
          'PLAN_STALE',
          'The new leader is in place, but somebody else has changed the DNS record.',
          'The output of repoint says what it names; see docs/RUNBOOK.md#plan_stale.',
        ),
      ],
      [is('repoint', 'superseded'), states.superseded],
    ),
  );

  return repoint;
}
