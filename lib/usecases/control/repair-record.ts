import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { LeaderRecord } from '#lib/ports/leader-record.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

export type RepairDeps = {
  readonly region: RegionId;
  /** The acceptor of this Region. */
  readonly acceptor: { read(): Promise<Acceptor> };
  /** What is left of this Region's lease, ms. */
  readonly leaseLeftMs: () => number;
  readonly record: Pick<LeaderRecord, 'read' | 'flip'>;
  readonly targetOf: (region: RegionId) => string;
  readonly telemetry: Telemetry;
};

/** What the leader of `epoch` has last found in DNS: an earlier epoch (`behind`), or its own or a later one. */
export type RecordLook = { readonly epoch: Epoch; readonly found: 'behind' | 'right' };

/**
 * One look of a leader at the record by which clients find it: the run that promoted it may have died before it changed
 * DNS. What is behind at two looks is put right, by the same compare-and-set as a failover's. What is right is not looked
 * at again in that epoch, as DNS's control plane takes few questions. A Region that does not lead by a lease does nothing.
 *
 * @param before what the last look returned. Two looks are so far apart that a run which is alive has come to its change.
 *
 * Throws as `LeaderRecord` does: a record that a person changed is left alone.
 */
export async function repairRecord(
  deps: RepairDeps,
  before: RecordLook | undefined,
): Promise<RecordLook | undefined> {
  const { acceptor, leaseLeftMs, record, region, targetOf, telemetry } = deps;
  if (leaseLeftMs() === 0) return before;
  const register = (await acceptor.read()).accepted?.value;
  if (register?.phase !== 'leading' || register.leader !== region) return undefined;
  const { epoch } = register;
  if (before?.epoch === epoch && before.found === 'right') return before;
  const now = await record.read();
  // A group without a record has not been given one yet: that is not for a leader to do.
  if (now === undefined || now.epoch >= epoch) return { epoch, found: 'right' };
  if (before?.epoch !== epoch || leaseLeftMs() === 0) return { epoch, found: 'behind' };
  const { kind } = await record.flip(now, { epoch, target: targetOf(region) });
  telemetry.event('record-repaired', { epoch, outcome: kind, from: now.target });
  return { epoch, found: 'behind' };
}
