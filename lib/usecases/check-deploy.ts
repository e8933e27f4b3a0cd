import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import {
  type Finding,
  findingsOfChangedRegister,
  findingsOfRegister,
  findingsOfRegisterTable,
  findingsOfTable,
  findingsOfZone,
  type TableFacts,
} from '#lib/domain/deploy-check.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type GroupConfig, type Leadership, membersOf } from '#lib/domain/topology.ts';
import type { ExistingTable, HostedZones, RegisterTable } from '#lib/ports/deploy-facts.ts';

/** How long a Region, or Route 53, may take to answer, ms: a deployment waits for it, and goes on without it. */
const PATIENCE_MS = 8_000;

export type DeployCheckDeps = {
  readonly config: GroupConfig;
  readonly region: RegionId;
  readonly record: RecordConfig | undefined;
  readonly acceptor: (region: RegionId) => { read(): Promise<Acceptor> };
  /** Who leads, by a Region's data path. */
  readonly role: (region: RegionId) => Promise<Leadership>;
  /** The table that is the register, where it is one. */
  readonly register: RegisterTable | undefined;
  readonly zones: HostedZones;
  /** The table of this Region, where it was there before the group. */
  readonly table: ExistingTable | undefined;
  readonly sleep: (ms: number) => Promise<void>;
};

export type DeployVerdict =
  | { readonly kind: 'fit'; readonly streamArn?: string | undefined }
  | { readonly kind: 'refused'; readonly findings: readonly Finding[] };

/**
 * May this Region be deployed? Refused only for what is certain: a Region that does not answer, or a Route 53 that
 * does not, holds up no deployment of another Region.
 */
export async function checkDeploy(deps: DeployCheckDeps): Promise<DeployVerdict> {
  const { config, region, register, table, record } = deps;
  const [facts, registerFacts, acceptors, roles, zone] = await Promise.all([
    table?.look(),
    register && known(deps, register.look()),
    readAll(deps, membersOf(config), async (at) => deps.acceptor(at).read()),
    readAll(
      deps,
      config.regions.map(({ name }) => name),
      deps.role,
    ),
    record === undefined ? undefined : known(deps, deps.zones.look(record)),
  ]);
  const findings = [
    ...(config.register === undefined || registerFacts === undefined
      ? []
      : findingsOfRegisterTable(config, config.register, region, registerFacts.value)),
    ...findingsOfRegister(config, acceptors),
    ...findingsOfChangedRegister(roles, acceptors),
    ...(table === undefined ? [] : findingsOfTable(config, region, facts)),
    ...(record === undefined || zone === undefined ? [] : findingsOfZone(record, zone.value)),
  ];
  if (findings.length > 0) return { kind: 'refused', findings };
  return { kind: 'fit', ...(await takeIn(deps, facts)) };
}

async function takeIn({ table, config }: DeployCheckDeps, facts: TableFacts | undefined) {
  if (table === undefined || facts === undefined) return {};
  if (facts.group === undefined) await table.claim(config.group);
  return { streamArn: facts.streamArn };
}

/** What all Regions say that answer. Before a group is deployed there is nobody to ask. */
async function readAll<T>(
  deps: DeployCheckDeps,
  regions: readonly RegionId[],
  read: (region: RegionId) => Promise<T>,
): Promise<readonly T[]> {
  const answers = await Promise.all(regions.map((region) => known(deps, read(region))));
  return answers.flatMap((answer) => (answer === undefined ? [] : [answer.value]));
}

/** What was answered, undefined if nothing was in time. */
async function known<T>({ sleep }: DeployCheckDeps, answer: Promise<T>): Promise<{ value: T } | undefined> {
  return Promise.race([
    answer.then(
      (value) => ({ value }),
      () => undefined,
    ),
    sleep(PATIENCE_MS).then(() => undefined),
  ]);
}
