import { doubtOf } from '#lib/domain/control/dns-sight.ts';
import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  goesOn,
  type RepointResult,
  type Superseded,
  winnerOf,
} from '#lib/usecases/control/failover-deps.ts';

/** First and longest pause between two questions to DNS's control plane, which takes five a second, ms. */
const POLL_MS = 100;
const MAX_POLL_MS = 2_000;
/** For how long one call of the step asks, ms. */
const TURN_MS = 20_000;

/** Points the clients' DNS name at the new leader, by a compare-and-set on the epoch that the name stands for. */
export async function repointClients(
  deps: FailoverDeps,
  state: FailoverState,
): Promise<RepointResult | Superseded> {
  const { record, vantages } = deps;
  const made = state.repoint?.outcome === 'submitted' ? state.repoint : undefined;
  const [over, from] = await Promise.all([
    goesOn(deps, state),
    made === undefined ? record?.read() : undefined,
  ]);
  if (over !== undefined) return decided(deps, state, 'repoint', {}, over);
  // By the step that handed over.
  if (made !== undefined) return decided(deps, state, 'repoint', { change: made.change }, made);
  const target = deps.targetOf(winnerOf(state));
  if (record === undefined) {
    // Without DNS, clients are told by other means.
    const outcome = vantages === undefined ? 'already' : 'by-health-checks';
    return decided(deps, state, 'repoint', { target }, { outcome, target });
  }
  const flipped = await record.flip(from, { epoch: epochOfRun(state), target });
  const given = { from: from ?? null, target };
  switch (flipped.kind) {
    case 'submitted':
      return decided(deps, state, 'repoint', given, { outcome: 'submitted', change: flipped.change, target });
    case 'already':
      return decided(deps, state, 'repoint', given, { outcome: 'already', target });
    case 'stale':
      return decided(deps, state, 'repoint', given, { outcome: 'stale', now: flipped.now ?? null });
  }
}

export type DnsResult = { readonly outcome: 'in-sync' | 'pending' };

/** Waits until DNS's servers have the change, or answer with the leader by themselves. */
export async function awaitDns(deps: FailoverDeps, state: FailoverState): Promise<DnsResult | Superseded> {
  const { repoint } = state;
  const until = deps.clock.now() + TURN_MS;
  let pauseMs = POLL_MS;
  for (;;) {
    const look = await lookAtDns(deps, repoint);
    if (look.inSync) return decided(deps, state, 'dns', look.input, { outcome: 'in-sync' });
    if (deps.clock.now() >= until) {
      // What health checks wait for may never come for a leader that was replaced meanwhile.
      const over = await goesOn(deps, state);
      return decided(deps, state, 'dns', look.input, over ?? { outcome: 'pending' });
    }
    await deps.sleep(pauseMs);
    pauseMs = Math.min(2 * pauseMs, MAX_POLL_MS);
  }
}

type Look = { readonly inSync: boolean; readonly input: object };

async function lookAtDns(
  { record, vantages }: FailoverDeps,
  repoint: RepointResult | undefined,
): Promise<Look> {
  if (repoint === undefined || repoint.outcome === 'stale') return { inSync: true, input: { change: null } };
  if (repoint.outcome === 'submitted' && record !== undefined) {
    const { change } = repoint;
    return { inSync: (await record.status(change)) === 'in-sync', input: { change } };
  }
  if (vantages === undefined) return { inSync: true, input: { change: null } };
  // There is no change to ask for: health checks choose, or the answer that named it was lost.
  const { target } = repoint;
  const sights = await vantages.ask(target);
  return { inSync: doubtOf(sights, target, record !== undefined) === undefined, input: { target, sights } };
}
