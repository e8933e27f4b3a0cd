import { UnderstudyError } from '#lib/domain/errors.ts';
import type { LaneId, RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { type Leadership, type Role, roleAfter } from '#lib/domain/topology.ts';
import type { ApplyLease, ApplyState, Control } from '#lib/ports/control.ts';

/** The control port in memory. */
export class MemoryControl implements Control {
  readonly #region: RegionId | undefined;
  #role: Role | undefined;
  readonly #tokens = new Map<LaneId, number>();
  readonly #states = new Map<LaneId, ApplyState>();

  /** @param region where the control table is; without it, the Region never leads. */
  constructor(region?: RegionId) {
    this.#region = region;
  }

  async role(): Promise<Role> {
    if (this.#role !== undefined) return this.#role;
    throw new UnderstudyError('ROLE_UNKNOWN', 'nobody leads yet', 'Name the first leader.');
  }

  async nameLeader(next: Leadership): Promise<'named' | 'superseded'> {
    if (this.#role !== undefined && this.#role.epoch >= next.epoch) return 'superseded';
    this.#role = roleAfter(this.#role, next, this.#region);
    return 'named';
  }

  async attach(epoch: Epoch): Promise<'attached' | 'superseded'> {
    if (this.#role?.epoch !== epoch) return 'superseded';
    const { led: _, ...role } = this.#role;
    this.#role = { ...role, attached: epoch };
    return 'attached';
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
