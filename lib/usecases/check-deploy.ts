import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import {
  type Finding,
  findingsOfRegister,
  findingsOfTable,
  findingsOfZone,
  type TableFacts,
} from '#lib/domain/deploy-check.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type GroupConfig, membersOf } from '#lib/domain/topology.ts';
import type { ExistingTable, HostedZones } from '#lib/ports/deploy-facts.ts';

/** How long a Region, or Route 53, may take to answer, ms: a deployment waits for it, and goes on without it. */
const PATIENCE_MS = 8_000;

export type DeployCheckDeps = {
  readonly config: GroupConfig;
  readonly region: RegionId;
  readonly record: RecordConfig | undefined;
  readonly acceptor: (region: RegionId) => { read(): Promise<Acceptor> };
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
  const { config, region, table, record } = deps;
  const [facts, acceptors, zone] = await Promise.all([
    table?.look(),
    readAcceptors(deps),
    record === undefined ? undefined : known(deps, deps.zones.look(record)),
  ]);
  const findings = [
    ...findingsOfRegister(config, acceptors),
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

/** The acceptors of all members that answer. Before a group is deployed there is nobody to ask. */
async function readAcceptors(deps: DeployCheckDeps): Promise<readonly Acceptor[]> {
  const answers = await Promise.all(
    membersOf(deps.config).map((member) => known(deps, deps.acceptor(member).read())),
  );
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
