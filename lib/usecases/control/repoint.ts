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
  const [over, from] = await Promise.all([goesOn(deps, state), deps.record.read()]);
  if (over !== undefined) return decided(deps, state, 'repoint', {}, over);
  const target = deps.targetOf(winnerOf(state));
  const flipped = await deps.record.flip(from, { epoch: epochOfRun(state), target });
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

/** Waits until DNS's servers have the change. */
export async function awaitDns(deps: FailoverDeps, state: FailoverState): Promise<DnsResult> {
  const { repoint } = state;
  const change = repoint?.outcome === 'submitted' ? repoint.change : undefined;
  const until = deps.clock.now() + TURN_MS;
  let pauseMs = POLL_MS;
  while (change !== undefined && (await deps.record.status(change)) === 'pending') {
    if (deps.clock.now() >= until) return decided(deps, state, 'dns', { change }, { outcome: 'pending' });
    await deps.sleep(pauseMs);
    pauseMs = Math.min(2 * pauseMs, MAX_POLL_MS);
  }
  return decided(deps, state, 'dns', { change: change ?? null }, { outcome: 'in-sync' });
}
