import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, type Epoch } from '#lib/domain/lsn.ts';

/**
 * What a group agrees on, by a majority of its Regions' control tables.
 *
 * - leading: `leader` leads epoch `epoch`.
 * - failing-over: `coordinator` has claimed `epoch`; `leader` is the one that is being replaced.
 * - switching-over: the same with the leader's consent; `successor` is to lead.
 */
export type Register = {
  readonly epoch: Epoch;
  readonly phase: 'leading' | 'failing-over' | 'switching-over';
  readonly leader: RegionId;
  /** Who claimed the epoch, and by which execution of the workflow. */
  readonly coordinator: RegionId;
  readonly run: string;
  readonly successor?: RegionId;
  /** While the leader is being replaced: the epoch that it led, as more than one claim may have come since. */
  readonly led?: Epoch;
  /**
   * After a switchover: the LSN at which the log of the leader before ends. Who was named the leader leads, and is followed,
   * once its own log reaches as far. Decimal.
   */
  readonly leadsFrom?: string;
  /** No automatic failover before this time, Unix ms, unless it was acknowledged. */
  readonly cooldownUntilMs: number;
  /** No automatic failover at all while an operator's pause is in force. */
  readonly paused?: { readonly by: string; readonly reason: string };
};

/** What became of a change of the register. Each carries the value in force, as far as it is known. */
export type Change =
  | { readonly kind: 'changed'; readonly register: Register }
  /** Nothing was written: somebody else was first, or the change does not fit the value in force. */
  | { readonly kind: 'superseded'; readonly register: Register }
  /** Too few Regions have withdrawn their grant from the epoch that is to end: it goes on. `register` is its value. */
  | { readonly kind: 'withheld'; readonly register: Register };

export type Claim = {
  /** The epoch that is to end. */
  readonly epoch: Epoch;
  readonly coordinator: RegionId;
  readonly run: string;
  readonly phase: 'failing-over' | 'switching-over';
  readonly successor?: RegionId;
};

/** The value of a group whose first leader is named. */
export function founded(leader: RegionId, epoch: Epoch, run: string): Register {
  return { epoch, phase: 'leading', leader, coordinator: leader, run, cooldownUntilMs: 0 };
}

/**
 * From (e, anything) to (e + 1, failing over, this coordinator). A coordinator that claimed epoch e + 1 already,
 * by the same run, holds it; everybody else is too late.
 */
export function claim(register: Register, by: Claim): Change {
  if (register.epoch === by.epoch + 1 && register.run === by.run) return { kind: 'changed', register };
  if (register.epoch !== by.epoch) return { kind: 'superseded', register };
  const { successor: _, leadsFrom: __, ...rest } = register;
  return {
    kind: 'changed',
    register: {
      ...rest,
      ...(register.phase === 'leading' && { led: register.epoch }),
      epoch: advanceEpoch(register.epoch),
      phase: by.phase,
      coordinator: by.coordinator,
      run: by.run,
      ...(by.successor === undefined ? {} : { successor: by.successor }),
    },
  };
}

/** The claimed epoch gets its leader. Only the run that claimed it may say so, as often as it likes. */
export function install(
  register: Register,
  by: {
    readonly epoch: Epoch;
    readonly run: string;
    readonly leader: RegionId;
    readonly cooldownUntilMs: number;
    readonly leadsFrom?: string | undefined;
  },
): Change {
  if (register.epoch !== by.epoch || register.run !== by.run) return { kind: 'superseded', register };
  if (register.phase === 'leading') {
    return { kind: register.leader === by.leader ? 'changed' : 'superseded', register };
  }
  const { successor: _, led: __, ...rest } = register;
  const { cooldownUntilMs, leader, leadsFrom } = by;
  return {
    kind: 'changed',
    register: {
      ...rest,
      phase: 'leading',
      leader,
      cooldownUntilMs,
      ...(leadsFrom === undefined ? {} : { leadsFrom }),
    },
  };
}

/** Ends a cooldown, or sets and ends an operator's pause. Never touches who leads. */
export function amend(
  register: Register,
  to: { readonly cooldownUntilMs?: number; readonly paused?: Register['paused'] | null },
): Change {
  const { paused, ...rest } = register;
  const next = to.paused === undefined ? paused : (to.paused ?? undefined);
  return {
    kind: 'changed',
    register: {
      ...rest,
      ...(to.cooldownUntilMs === undefined ? {} : { cooldownUntilMs: to.cooldownUntilMs }),
      ...(next === undefined ? {} : { paused: next }),
    },
  };
}
