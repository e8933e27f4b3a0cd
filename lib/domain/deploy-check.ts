import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import type { RegisterConfig } from '#lib/domain/control/register-config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import {
  type GroupConfig,
  type KeyAttribute,
  type Leadership,
  membersOf,
  newestOf,
  tableOf,
} from '#lib/domain/topology.ts';

/** What a group needs to know of a table that is there already before it takes it in. */
export type TableFacts = {
  readonly key: readonly KeyAttribute[];
  /** View type of the stream that is on; absent if none is. */
  readonly streamView?: string | undefined;
  readonly streamArn?: string | undefined;
  /** Regions of which it is a global table. */
  readonly replicas: readonly string[];
  /** The group that has taken it in. */
  readonly group?: string | undefined;
};

/** What a record needs to know of the zone that it is to be in. */
export type ZoneFacts = {
  readonly name: string;
  /** Nobody outside of its networks can ask its name servers. */
  readonly isPrivate: boolean;
  /** A set at the record's name that is the only one of its type; looked for where health checks move the record. */
  readonly isTaken: boolean;
};

/** What a group needs to know of the table that is its register. */
export type RegisterFacts = {
  /** Whether all its replicas read and write as one. */
  readonly isStrong: boolean;
  /** Regions with a replica. */
  readonly regions: readonly string[];
};

/** A reason not to deploy, and what cures it. Sentences. */
export type Finding = { readonly what: string; readonly fix: string };

/** Why `region` can't be deployed with its table as it is. Undefined facts: there is no such table. */
export function findingsOfTable(
  config: GroupConfig,
  region: RegionId,
  facts: TableFacts | undefined,
): readonly Finding[] {
  const { group } = config;
  const { table, key } = tableOf(config);
  if (facts === undefined) {
    const fix = `Name a table that is in every Region of the group, or let the group create ${table}.`;
    return [{ what: `There is no table ${table} in ${region}.`, fix }];
  }
  const findings: Finding[] = [];
  if (facts.group !== undefined && facts.group !== group) {
    findings.push({
      what: `Table ${table} belongs to group ${facts.group}.`,
      fix: 'A table has one log: give this group another table, or destroy the other group first.',
    });
  }
  if (spelled(facts.key) !== spelled(key)) {
    findings.push({
      what: `Table ${table} has the key ${spelled(facts.key)}, and the engine says ${spelled(key)}.`,
      fix: 'Correct partitionKey and sortKey of the engine.',
    });
  }
  if (facts.replicas.length > 0) {
    findings.push({
      what: `Table ${table} is a global table, of ${facts.replicas.join(', ')}: it replicates itself.`,
      fix: 'Remove its replicas, or let the group create a table of its own.',
    });
  }
  const update = `aws dynamodb update-table --region ${region} --table-name ${table} --stream-specification`;
  const enable = `${update} StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES`;
  if (facts.streamView === undefined) {
    findings.push({ what: `Table ${table} has no stream.`, fix: `Run: ${enable}` });
  } else if (facts.streamView !== 'NEW_AND_OLD_IMAGES') {
    findings.push({
      what: `The stream of table ${table} carries ${facts.streamView}, not new and old images.`,
      fix: `Once nobody reads it any more, run: ${update} StreamEnabled=false; and then: ${enable}`,
    });
  }
  return findings;
}

/**
 * Why nobody may deploy over the register as it is, by the acceptors that could be read. A value that only one of them
 * has accepted counts: it may be the one in force.
 */
export function findingsOfRegister(
  { regions }: GroupConfig,
  acceptors: readonly Acceptor[],
): readonly Finding[] {
  const newest = acceptors
    .flatMap(({ accepted }) => accepted ?? [])
    .reduce<Acceptor['accepted']>(
      (best, each) => (best === undefined || each.ballot > best.ballot ? each : best),
      undefined,
    );
  if (newest === undefined) return [];
  const { epoch, leader, phase, coordinator } = newest.value;
  if (phase !== 'leading') {
    const fix = 'Wait until it is done (understudy status), then deploy again.';
    return [{ what: `The group is ${phase}: ${coordinator} has claimed epoch ${epoch}.`, fix }];
  }
  if (regions.some(({ name }) => name === leader)) return [];
  return [
    {
      what: `${leader} leads epoch ${epoch}, and is not a replica of the group that is to be deployed.`,
      fix: 'Switch over first (understudy switchover --to REGION), then deploy again.',
    },
  ];
}

/** Why `region` can't be deployed with the table that is the register as it is. Undefined facts: there is none. */
export function findingsOfRegisterTable(
  config: GroupConfig,
  { table }: RegisterConfig,
  region: RegionId,
  facts: RegisterFacts | undefined,
): readonly Finding[] {
  const stack = `understudy-${config.group}-register`;
  if (facts === undefined) {
    return [
      {
        what: `There is no register yet: no table ${table} in ${region}.`,
        fix: `Deploy the stack ${stack} first, and then this one.`,
      },
    ];
  }
  const members = membersOf(config);
  const lacking = members.filter((each) => !facts.regions.includes(each));
  if (facts.isStrong && lacking.length === 0) return [];
  const what = facts.isStrong
    ? `Table ${table} has no replica in ${lacking.join(', ')}.`
    : `Table ${table} is no global table of multi-Region strong consistency.`;
  return [
    {
      what,
      fix: `Such a table is made by ${stack} alone, with all its replicas: remove this one, while no group has its leader by it, and deploy that stack.`,
    },
  ];
}

/** Why nobody may deploy a register that knows of no leader over a group that has one, by the roles of its Regions. */
export function findingsOfChangedRegister(
  roles: readonly Leadership[],
  acceptors: readonly Acceptor[],
): readonly Finding[] {
  const leading = newestOf(roles);
  if (leading === undefined || acceptors.length === 0) return [];
  if (acceptors.some(({ accepted }) => accepted !== undefined)) return [];
  return [
    {
      what: `${leading.leader} leads epoch ${leading.epoch}, and the register that is to be deployed knows nothing of it.`,
      fix: 'A group keeps the register that it was founded with: set the prop register back.',
    },
  ];
}

/** Why the record can't be in the zone that the id names; undefined facts: there is no such zone. */
export function findingsOfZone(record: RecordConfig, facts: ZoneFacts | undefined): readonly Finding[] {
  if (facts === undefined) {
    return [{ what: `There is no hosted zone ${record.zoneId}.`, fix: 'Correct dns.zone.' }];
  }
  const zone = facts.name.toLowerCase().replace(/\.$/, '');
  if (record.name !== zone && !record.name.endsWith(`.${zone}`)) {
    return [
      {
        what: `${record.name} is not in the zone ${record.zoneId}, which is that of ${zone}.`,
        fix: `Use a name that ends in .${zone}, or the zone that the name is in.`,
      },
    ];
  }
  if (record.flip !== 'data-plane') return [];
  const findings: Finding[] = [];
  if (facts.isPrivate) {
    findings.push({
      what: `The zone ${record.zoneId} is private: no failover could ask its name servers whether health checks have moved ${record.name}.`,
      fix: 'Use a public zone, or leave dns.flip out.',
    });
  }
  if (facts.isTaken) {
    findings.push({
      what: `A record stands at ${record.name}, such as a failover changes, and no Region's set can be made beside it.`,
      fix: `Use another name as dns.record; or delete that record and _epoch.${record.name}, in one change, and deploy again.`,
    });
  }
  return findings;
}

function spelled(key: readonly KeyAttribute[]): string {
  return key.map(({ name, type }) => `${name} (${type})`).join(', ');
}
