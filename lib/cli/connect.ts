import { randomUUID } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { openGroup } from '#functions/engines/open-group.ts';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { type RuntimeConfig, readConfig } from '#lib/aws/config.ts';
import { canonicalTarget } from '#lib/aws/dns-target.ts';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { Route53Record } from '#lib/aws/route53-record.ts';
import { ZoneVantages } from '#lib/aws/zone-vantages.ts';
import { findGroup, type GroupChoice } from '#lib/cli/find-group.ts';
import { PATIENCE_MS } from '#lib/cli/in-time.ts';
import { ALARMS, DRILL_FAILED } from '#lib/constructs/alarm-specs.ts';
import { UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import type { Survey } from '#lib/domain/control/survey.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Leadership, membersOf } from '#lib/domain/topology.ts';
import type { Engine } from '#lib/ports/engine.ts';
import { SILENT } from '#lib/ports/telemetry.ts';
import type { RegisterDeps } from '#lib/usecases/control/change-register.ts';
import { surveyGroup } from '#lib/usecases/control/survey.ts';

const ALARM_NAMES = [...new Set([...ALARMS, DRILL_FAILED].map(({ name }) => name)), UNSAFE_ALARM];

/** A group that commands look at. */
export type Connection = {
  readonly config: RuntimeConfig;
  readonly peers: AwsPeers;
  readonly engine: Engine;
  /** Who leads, by the first Region that answers. */
  readonly role: () => Promise<Leadership>;
  readonly profile: Profile;
  /** The group's register, as a command changes it. */
  readonly register: RegisterDeps;
  /** The record by which clients find the leader, where there is one that a failover changes. */
  readonly record: Route53Record | undefined;
  /** What every Region says, in bounded time. */
  readonly survey: () => Promise<Survey>;
  readonly close: () => void;
};

/** The functions of a group have a file of their own with who signs its databases' certificates: it is not where commands run. */
export function withAuthority(config: RuntimeConfig, authority: string | undefined): RuntimeConfig {
  const { engine } = config;
  if (authority === undefined || engine.kind !== 'postgres') return config;
  return { ...config, engine: { ...engine, authority } };
}

/**
 * Connects to a group.
 *
 * @param need `data`: what replication alone has will do.
 *
 * Throws CONFIG_INVALID, GROUP_NOT_FOUND or CLOUD_NOT_FOUND; CONFIG_INVALID for a cloud without failover, too, if that is needed.
 */
export async function connect(
  choice: GroupChoice,
  need: 'failover' | 'data' = 'failover',
): Promise<Connection> {
  const cloud = await findGroup(choice);
  if (need === 'failover' && !cloud.isWatched) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'the cloud that runs here replicates alone: it has no failover',
      'Start a drill that stays up in its place: npm start -- --keep.',
    );
  }
  const config = withAuthority(
    readConfig({
      UNDERSTUDY_CONFIG: JSON.stringify(cloud.config),
      UNDERSTUDY_ENDPOINTS: JSON.stringify(cloud.endpoints),
    }),
    process.env.UNDERSTUDY_AUTHORITY,
  );
  const { peers, engine } = openGroup(config, { telemetry: SILENT });
  const role = async () => {
    const answers = config.regions.map(({ name }) => peers.control(name).role());
    try {
      return await Promise.any(answers);
    } catch (cause) {
      throw new UnderstudyError(
        'REGION_UNREACHABLE',
        'no Region of the group answers',
        'See whether the cloud is still running and whether you may reach its endpoints.',
        { cause },
      );
    }
  };
  const sleep = (ms: number) => sleepFor(ms);
  const register: RegisterDeps = {
    acceptors: { members: membersOf(config), of: (region) => peers.acceptor(region) },
    // No member of the group: its ballots differ from the Region's own by the word of chance.
    region: config.region,
    chance: () => `cli-${randomUUID().slice(0, 8)}`,
    random: Math.random,
    sleep,
  };
  const dns = openRecord(config);
  const survey = () =>
    surveyGroup({
      replicas: config.regions.map(({ name }) => name),
      witnesses: config.witnesses,
      peers,
      ...(dns && { record: dns.look }),
      clock: { now: () => Date.now(), steadyMs: () => performance.now() },
      sleep,
      patienceMs: PATIENCE_MS,
      alarmNames: ALARM_NAMES,
    });
  return {
    config,
    peers,
    engine,
    role,
    profile: PROFILES[config.failover.profile],
    register,
    record: dns?.record,
    survey,
    close: () => {
      peers.destroy();
      dns?.close();
    },
  };
}

function openRecord({ endpoints, failover, region }: RuntimeConfig) {
  if (failover.record === undefined) return undefined;
  const { dns, route53: endpoint, credentials } = endpoints[region] ?? {};
  const { name, flip } = failover.record;
  if (flip === 'data-plane') {
    const vantages = new ZoneVantages({ name, ...(dns && { servers: [dns] }) });
    const targets = Object.entries(failover.targets).map(([at, target]) => [at, canonicalTarget(target)]);
    return { look: { name, vantages, targets: Object.fromEntries(targets) }, close: () => {} };
  }
  const route53 = createRoute53Client({ ...(endpoint && { endpoint }), ...(credentials && { credentials }) });
  const inventory = Object.values<string>(failover.targets);
  const record = new Route53Record({ route53, ...failover.record, inventory });
  return { look: { name, of: record }, record, close: () => route53.destroy() };
}

/** A replica of the group by name. Throws CONFIG_INVALID that lists them. */
export function regionOf(config: RuntimeConfig, name: string): RegionId {
  const found = config.regions.find((each) => each.name === name);
  if (found !== undefined) return found.name;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    config.witnesses.some((each) => each === name)
      ? `${name} is a witness of group ${config.group} and holds no data`
      : `${name} is not a Region of group ${config.group}`,
    `Use one of ${config.regions.map((each) => each.name).join(', ')}.`,
  );
}
