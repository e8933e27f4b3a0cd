import { UnderstudyError } from '#lib/domain/errors.ts';
import type { LaneId } from '#lib/domain/ids.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { ApplyLease, ApplyState, Control } from '#lib/ports/control.ts';

/** The control port in memory. */
export class MemoryControl implements Control {
  #role: Role | undefined;
  readonly #tokens = new Map<LaneId, number>();
  readonly #states = new Map<LaneId, ApplyState>();

  async role(): Promise<Role> {
    if (this.#role !== undefined) return this.#role;
    throw new UnderstudyError('ROLE_UNKNOWN', 'nobody leads yet', 'Name the first leader.');
  }

  async nameLeader(role: Role): Promise<'named' | 'superseded'> {
    if (this.#role !== undefined && this.#role.epoch >= role.epoch) return 'superseded';
    this.#role = role;
    return 'named';
  }

  async applyState(lane: LaneId): Promise<ApplyState> {
    return this.#states.get(lane) ?? {};
  }

  async takeLease(lane: LaneId): Promise<{ lease: ApplyLease; state: ApplyState }> {
    const token = (this.#tokens.get(lane) ?? 0) + 1;
    this.#tokens.set(lane, token);
    return { lease: { lane, token }, state: this.#states.get(lane) ?? {} };
  }

  async saveApplyState(lease: ApplyLease, state: ApplyState): Promise<'saved' | 'lost'> {
    if (!this.holds(lease)) return 'lost';
    this.#states.set(lease.lane, state);
    return 'saved';
  }

  /** True while nobody has taken the lease since. */
  holds(lease: ApplyLease): boolean {
    return this.#tokens.get(lease.lane) === lease.token;
  }
}
