import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { propsOf, readDeployment } from '#lib/constructs/config.ts';
import type { Engine } from '#lib/constructs/engine.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';

/** Other Regions than those that a config names. */
export type Members = {
  readonly regions: readonly string[];
  readonly witnesses?: readonly string[] | undefined;
};

type PostgresEngine = Extract<Engine, { readonly kind: 'postgres' }>;

/** Synthesizes the group of a config file into a folder, without its functions' code: for looking at, not to deploy. */
export function synthesizeTo(outdir: string, config: string, members?: Members): void {
  const app = new App({ outdir, context: { '@aws-cdk/core:validateAgainstDefaultRules': false } });
  const given = propsOf(readDeployment(config));
  const { group, ...props } = members === undefined ? given : movedTo(given, members);
  new ReplicationGroup(app, group, { ...props, code: () => Code.fromInline('export {};') });
  app.synth();
}

/** The same group in other Regions: what is said of a Region by name stays where that Region stays. */
function movedTo(props: ReturnType<typeof propsOf>, { regions, witnesses }: Members) {
  const { dns, engine, hostFence: _, ...rest } = props;
  const witness = witnesses ?? props.witness.filter((each) => !regions.includes(each));
  return {
    ...rest,
    engine: engine.kind === 'postgres' ? databasesIn(engine, regions, [...regions, ...witness]) : engine,
    regions: regions.map((region) => ({ region })),
    witness,
    ...(dns && {
      dns: {
        ...dns,
        endpoints: Object.fromEntries(
          regions.map((region) => [
            region,
            dns.endpoints[region as keyof typeof dns.endpoints] ?? `${region}.invalid`,
          ]),
        ),
      },
    }),
  };
}

/** The databases of other Regions, where the config names none: in name alone, as nobody deploys this. */
function databasesIn(engine: PostgresEngine, regions: readonly string[], members: readonly string[]): Engine {
  const [database] = Object.values(engine.databases);
  const filled = <T>(names: readonly string[], of: (region: string) => T) =>
    Object.fromEntries(names.map((region) => [region, of(region)]));
  return {
    ...engine,
    databases: filled(
      regions,
      (region) =>
        engine.databases[region] ?? {
          server: { host: `${region}.invalid` },
          database: database!.database,
          role: database!.role,
          secret: 'understudy',
        },
    ),
    network: filled(
      members,
      (region) => engine.network[region] ?? { vpc: { vpcId: 'vpc-00000000' }, subnets: ['subnet-00000000'] },
    ),
  };
}
