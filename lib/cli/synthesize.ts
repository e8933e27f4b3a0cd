import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { propsOf, readDeployment } from '#lib/constructs/config.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';

/** Other Regions than those that a config names. */
export type Members = {
  readonly regions: readonly string[];
  readonly witnesses?: readonly string[] | undefined;
};

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
  const { dns, hostFence: _, ...rest } = props;
  return {
    ...rest,
    regions: regions.map((region) => ({ region })),
    witness: witnesses ?? props.witness.filter((witness) => !regions.includes(witness)),
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
