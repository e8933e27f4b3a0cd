import { UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import { majorityOf } from '#lib/domain/control/acceptor.ts';
import type { Plan } from '#lib/domain/control/plan.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import type { Register } from '#lib/domain/control/register.ts';
import {
  alarmsOf,
  hasMajority,
  newestBeat,
  type RegionSurvey,
  registerOf,
  type Survey,
  votesAgainst,
} from '#lib/domain/control/survey.ts';

export type Advice = {
  readonly kind:
    | 'unavailable'
    | 'too-few'
    | 'not-founded'
    | 'no-candidate'
    | 'approval'
    | 'stuck'
    | 'in-progress'
    | 'held'
    | 'voted-out'
    | 'votes'
    | 'no-lease'
    | 'dns'
    | 'unreachable'
    | 'forgotten'
    | 'not-attached'
    | 'unfit'
    | 'divergence'
    | 'alarm'
    | 'paused'
    | 'cooldown'
    | 'healthy';
  /** What is the matter and what to do about it, as sentences. */
  readonly text: string;
};

/** What an operator should do next, the most urgent first; `healthy` alone if there is nothing to do. */
export function adviceOf(
  survey: Survey,
  given: {
    readonly profile: Profile;
    /** Why no automatic failover may happen now, if that is so. */
    readonly guarded?: string | undefined;
    /** What a failover would do if it began now. */
    readonly plan?: Plan;
  },
): readonly Advice[] {
  const known = registerOf(survey);
  if (known === undefined) return [withoutRegister(survey)];
  const { register } = known;
  const found = [
    ...(hasMajority(survey) ? candidacyOf(given.plan) : [unavailable()]),
    ...tooFewOf(survey),
    ...approvalOf(survey),
    ...(register.phase === 'leading'
      ? leadershipOf(survey, register, given)
      : progressOf(survey, register, given.profile)),
    ...dnsOf(survey, register),
    ...regionsOf(survey, register),
    ...guardsOf(survey, register),
    ...survey.regions.flatMap(alarmsOn),
  ];
  if (found.length > 0) return found;
  return [{ kind: 'healthy', text: `Nothing: ${register.leader} leads, and every Region follows.` }];
}

function withoutRegister(survey: Survey): Advice {
  if (!hasMajority(survey)) return unavailable();
  return {
    kind: 'not-founded',
    text: 'The group has no leader yet. Name its first one: understudy found --leader REGION.',
  };
}

function unavailable(): Advice {
  return {
    kind: 'unavailable',
    text: 'No majority of the Regions answers, so nobody can be promoted and nothing can be changed. Bring one of them back, or see whether you may reach their endpoints.',
  };
}

function tooFewOf({ regions }: Survey): readonly Advice[] {
  if (regions.length >= 3) return [];
  const text =
    'Two Regions cannot outvote a lost one, so no failover is possible. Add a Region to witnesses, or a third replica, and deploy.';
  return [{ kind: 'too-few', text }];
}

/** Whether anybody could be promoted now, and if not, what stands in the way of each. */
function candidacyOf(plan: Plan | undefined): readonly Advice[] {
  if (plan?.refusals.some(({ code }) => code === 'NO_CANDIDATE') !== true) return [];
  const why = plan.candidates
    .filter(({ region }) => region !== plan.from)
    .map(({ region, why }) => `${region}: ${why}`)
    .join('; ');
  return [
    {
      kind: 'no-candidate',
      text: `No replica could be promoted now (${why || 'none answers'}). Mend that and a failover goes on by itself. To promote one all the same, with the loss that understudy plan --force shows: understudy failover --force --to REGION --reason WHY.`,
    },
  ];
}

function approvalOf({ regions }: Survey): readonly Advice[] {
  return regions.flatMap(({ region, approval }): readonly Advice[] =>
    approval === undefined
      ? []
      : [
          {
            kind: 'approval',
            text: `A failover waits in ${region} for a person: understudy approve, or understudy approve --deny.`,
          },
        ],
  );
}

function progressOf(survey: Survey, register: Register, { takeoverMs }: Profile): readonly Advice[] {
  const { coordinator, epoch, phase, run } = register;
  // A coordinator's counter is the time at which it made its last step.
  const sinceMs = survey.atMs - (newestBeat(survey, epoch)?.counter ?? survey.atMs);
  const history = `understudy history --epoch ${epoch}`;
  const failed = failureIn(survey, register);
  if (sinceMs > 2 * takeoverMs) {
    return [
      {
        kind: 'stuck',
        text: `The ${nounOf(phase)} of ${coordinator} (${run}) has made no step for ${seconds(sinceMs)}, and nobody has taken it over.${failed} See ${history} and whether the sentinels run, then begin anew: understudy failover.`,
      },
    ];
  }
  return [
    {
      kind: 'in-progress',
      text: `A ${nounOf(phase)} to epoch ${epoch} is under way, coordinated by ${coordinator}.${failed} Wait; ${history} shows its steps.`,
    },
  ];
}

function leadershipOf(
  survey: Survey,
  { epoch, leader }: Register,
  { profile, guarded }: { readonly profile: Profile; readonly guarded?: string | undefined },
): readonly Advice[] {
  const votes = votesAgainst(survey, epoch);
  if (votes.length >= majorityOf(survey.regions.length)) {
    if (guarded !== undefined) {
      return [
        {
          kind: 'held',
          text: `${leader} is voted out by ${votes.join(', ')}, but no failover starts by itself: ${guarded}. See understudy plan, then understudy failover.`,
        },
      ];
    }
    const text = profile.approval
      ? `${leader} is voted out by ${votes.join(', ')}. A failover is about to ask for approval: understudy approve.`
      : `${leader} is voted out by ${votes.join(', ')}. A failover is about to start by itself; look again in some seconds.`;
    return [{ kind: 'voted-out', text }];
  }
  const found: Advice[] = [];
  if (votes.length > 0) {
    found.push({
      kind: 'votes',
      text: `${votes.join(', ')} has not heard ${leader} for a lease and more, others have. Look at the network between them; no failover follows from a minority.`,
    });
  }
  const beat = newestBeat(survey, epoch);
  if (beat === undefined || beat.leaseUntilMs < survey.atMs) {
    const silent =
      beat === undefined
        ? 'sends no beats'
        : beat.continues
          ? 'has no lease and goes on writing (onLeaseLost: continue), so that what is written there now may diverge'
          : 'has no lease, so its clients do not write';
    found.push({
      kind: 'no-lease',
      text: `${leader} ${silent}. See whether its sentinel runs and its store takes writes; the other Regions vote it out if it stays silent.`,
    });
  }
  return found;
}

function dnsOf(survey: Survey, register: Register): readonly Advice[] {
  const { dns } = survey;
  const { epoch, leader, phase } = register;
  const failed = failureIn(survey, register);
  if (dns === undefined) return [];
  if ('error' in dns) {
    return [
      {
        kind: 'dns',
        text: `The DNS record ${dns.name} cannot be read: ${dns.error} A failover that has stopped at it goes on once its workflow is redriven at Repoint.`,
      },
    ];
  }
  if (phase !== 'leading') return [];
  if ('regions' in dns) {
    if (dns.regions.join() === leader) return [];
    const text = `The DNS record ${dns.name} names ${dns.regions.join(' or ')}, not ${leader}, by its health checks. They take 10 seconds and more; if that lasts, see the health check of ${leader} and the function leads there.`;
    return [{ kind: 'dns', text }];
  }
  if (dns.leader?.epoch === epoch) return [];
  const names = dns.leader === undefined ? 'does not exist' : `still names epoch ${dns.leader.epoch}`;
  return [
    {
      kind: 'dns',
      text: `The DNS record ${dns.name} ${names}, not epoch ${epoch}, so clients may not find the leader.${failed} If the run that promoted it is gone, the leader's own sentinel puts that right after a moment; if that lasts, see its log for repair-failed, and redrive the workflow at Repoint.`,
    },
  ];
}

/** What the newest run has failed at last, as a sentence; empty if it has not. */
function failureIn({ regions }: Survey, { run }: Register): string {
  const failed = regions.find((each) => each.failed?.run === run)?.failed;
  if (failed === undefined) return '';
  const code = failed.code ?? 'RUN_STOPPED';
  return ` ${run} failed last at ${failed.step}, ${code}: ${failed.why} (docs/RUNBOOK.md#${code.toLowerCase()}).`;
}

function regionsOf({ regions }: Survey, { leader }: Register): readonly Advice[] {
  const found: Advice[] = [];
  for (const { acceptor, region, error, role, unfit, witness, divergences = [] } of regions) {
    if (acceptor !== undefined && acceptor.accepted === undefined) {
      found.push({
        kind: 'forgotten',
        text: `${region} holds nothing of the register, so it counts for nothing: it is new, or has lost its control table (docs/RUNBOOK.md#register_forgotten). Take it in: understudy found --leader ${leader}.`,
      });
    }
    if (error !== undefined) {
      found.push({
        kind: 'unreachable',
        text: `${region} does not answer (${error}). It ${witness ? 'votes again' : 'is re-attached by itself'} once it is back.`,
      });
    }
    if (role !== undefined && role.attached !== role.epoch) {
      found.push({
        kind: 'not-attached',
        text: `${region} does not follow yet: ${whyDetached(role)}. That ends by itself: understudy reattach --wait.`,
      });
    }
    if (unfit !== undefined) {
      found.push({
        kind: 'unfit',
        text: `${region} could not lead, so no failover takes it: ${unfit}. See docs/RUNBOOK.md.`,
      });
    }
    for (const { epoch, changes, discarded } of divergences) {
      if (changes === undefined || discarded) continue;
      found.push({
        kind: 'divergence',
        text: `${region} had ${changes} changes of epoch ${epoch} that the group has not: understudy divergence show. Write again what is needed, then understudy divergence discard --reason WHY.`,
      });
    }
  }
  return found;
}

/** Every alarm that is on, but for the one that is on with any other. Its own words say what it means, and where to read on. */
function alarmsOn(survey: RegionSurvey): readonly Advice[] {
  return alarmsOf(survey)
    .filter(({ alarm, state }) => state === 'alarm' && alarm !== UNSAFE_ALARM)
    .map(({ alarm, text }) => ({
      kind: 'alarm',
      text: `The alarm ${alarm} is on in ${survey.region}. ${text.replace(/^\[\w+\] /, '')}`,
    }));
}

/** Why a Region is not attached to the epoch in force. */
export function whyDetached(role: { readonly led?: number; readonly epoch: number }): string {
  return role.led === undefined
    ? `it was away when epoch ${role.epoch} began, and its log is being compared with the leader's`
    : `it led epoch ${role.led}, and what it has beyond the group is saved before it is taken back`;
}

function guardsOf({ atMs }: Survey, { paused, cooldownUntilMs }: Register): readonly Advice[] {
  const found: Advice[] = [];
  if (paused !== undefined) {
    found.push({
      kind: 'paused',
      text: `${paused.by} has paused automatic failover (${paused.reason}). To end that: understudy resume.`,
    });
  }
  if (atMs < cooldownUntilMs) {
    found.push({
      kind: 'cooldown',
      text: `No automatic failover before ${new Date(cooldownUntilMs).toISOString()}, as the last one was recent. Once its cause is known: understudy ack.`,
    });
  }
  return found;
}

function nounOf(phase: Register['phase']): string {
  return phase === 'switching-over' ? 'switchover' : 'failover';
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
