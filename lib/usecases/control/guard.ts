import type { Register } from '#lib/domain/control/register.ts';

/** Why no automatic failover may happen now; undefined if one may. An unfinished one may always be taken over. */
export function guardOf(register: Register, nowMs: number): string | undefined {
  if (register.phase !== 'leading') return undefined;
  const { paused, cooldownUntilMs } = register;
  if (paused !== undefined) return `${paused.by} has paused automatic failover: ${paused.reason}`;
  if (nowMs < cooldownUntilMs) {
    return `the last failover is so recent that the next needs an acknowledgement until ${new Date(cooldownUntilMs).toISOString()}`;
  }
  return undefined;
}
