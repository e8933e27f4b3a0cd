import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import type { RegisterFacts, TableFacts, ZoneFacts } from '#lib/domain/deploy-check.ts';
import type { GroupId } from '#lib/domain/ids.ts';

/** A table that was there before the group, in one Region. */
export interface ExistingTable {
  /** Undefined if there is none of the name. */
  look(): Promise<TableFacts | undefined>;
  /** Marks it as the group's. Again does no harm. */
  claim(group: GroupId): Promise<void>;
  /** Takes the group's mark off, and no other's. A table that is gone has none. */
  release(group: GroupId): Promise<void>;
}

/** The table that is a group's register, as one Region sees it. */
export interface RegisterTable {
  /** Undefined if there is none of the name. */
  look(): Promise<RegisterFacts | undefined>;
}

/** Hosted zones, as far as a record wants to know of them. */
export interface HostedZones {
  /** Undefined if there is no such zone. Throws if nobody can say. */
  look(record: RecordConfig): Promise<ZoneFacts | undefined>;
}

/** Stacks, as far as a resource in one wants to know of them. */
export interface DeployedStacks {
  /** Is CloudFormation taking this stack back to what it was? */
  isRollingBack(stackId: string): Promise<boolean>;
}
