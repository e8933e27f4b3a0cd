import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/** Where writes go on, by the acceptor of a Region that takes none; undefined while nobody there knows. */
export function nextLeaderBy({ accepted }: Acceptor): RegionId | undefined {
  const { leader, phase, successor } = accepted?.value ?? {};
  return phase === 'leading' ? leader : successor;
}

/**
 * Has `region` been named the leader, or the one to come, and not held a lease in that epoch yet? By its own acceptor, which
 * tells no lease after the last one, either: `held` is the newest epoch in which it was seen to hold one.
 */
export function leadsSoon(own: Acceptor, region: RegionId, held?: Epoch): boolean {
  const { accepted, beat, vote } = own;
  const register = accepted?.value;
  if (register === undefined || register.epoch === held || nextLeaderBy(own) !== region) return false;
  if (register.phase !== 'leading') return true;
  const isHandingOver = vote !== undefined && vote >= register.epoch;
  return !isHandingOver && (beat?.epoch !== register.epoch || beat.leaseUntilMs === 0);
}

/** The epoch that `region` leads by its own acceptor, at `nowMs` of its own clock (Unix ms); or why it does not. */
export function leadershipOf(
  { accepted, beat, vote }: Acceptor,
  region: RegionId,
  nowMs: number,
): Epoch | string {
  const register = accepted?.value;
  if (register?.phase !== 'leading') return 'a failover is under way';
  if (register.leader !== region) return `${register.leader} leads epoch ${register.epoch}`;
  if (vote !== undefined && vote >= register.epoch) return 'it is handing over';
  // A group may choose to go on without a lease (`onLeaseLost: continue`); what is written then may diverge.
  const isLent = beat?.epoch === register.epoch && (beat.continues || beat.leaseUntilMs > nowMs);
  return isLent ? register.epoch : 'its lease is over';
}
