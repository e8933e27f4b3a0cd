import { UnderstudyError } from '#lib/domain/errors.ts';
import type { LaneId, RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { type Leadership, type Role, roleAfter } from '#lib/domain/topology.ts';
import type { ApplyLease, ApplyState, Control, FitnessNotes, Rewound } from '#lib/ports/control.ts';

/** The control port in memory. */
export class MemoryControl implements Control, FitnessNotes {
  readonly #region: RegionId | undefined;
  #role: Role | undefined;
  readonly #tokens = new Map<LaneId, number>();
  readonly #states = new Map<LaneId, ApplyState>();
  readonly #unfit = new Map<LaneId, string>();

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
    const unfit = this.#unfit.get(lane);
    return { ...this.#states.get(lane), ...(unfit !== undefined && { unfit }) };
  }

  async takeLease(lane: LaneId): Promise<{ lease: ApplyLease; state: ApplyState }> {
    const token = (this.#tokens.get(lane) ?? 0) + 1;
    this.#tokens.set(lane, token);
    return { lease: { lane, token }, state: await this.applyState(lane) };
  }

  async saveApplyState(lease: ApplyLease, state: ApplyState): Promise<'saved' | 'lost'> {
    if (!this.holds(lease)) return 'lost';
    const { unfit: _, ...kept } = state;
    this.#states.set(lease.lane, kept);
    return 'saved';
  }

  async noteRewound(lease: ApplyLease, rewound: Rewound): Promise<'saved' | 'lost'> {
    if (!this.holds(lease)) return 'lost';
    this.#states.set(lease.lane, { ...this.#states.get(lease.lane), rewound });
    return 'saved';
  }

  async noteFitness(lane: LaneId, unfit: string | undefined): Promise<void> {
    if (unfit === undefined) this.#unfit.delete(lane);
    else this.#unfit.set(lane, unfit);
  }

  /** True while nobody has taken the lease since. */
  holds(lease: ApplyLease): boolean {
    return this.#tokens.get(lease.lane) === lease.token;
  }
}
