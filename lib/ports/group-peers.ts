import type { RegionId } from '#lib/domain/ids.ts';
import type { Control } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** The logs and control tables of all Regions of a group, as they are reached from here. */
export interface GroupPeers {
  log(region: RegionId): ReplicaLog;
  control(region: RegionId): Pick<Control, 'applyState'>;
}
