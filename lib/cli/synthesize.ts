import { App } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { propsOf, readDeployment } from '#lib/constructs/config.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';

/** Synthesizes the group of a config file into a folder, without its functions' code: for looking at, not to deploy. */
export function synthesizeTo(outdir: string, config: string): void {
  const app = new App({ outdir, context: { '@aws-cdk/core:validateAgainstDefaultRules': false } });
  const { group, ...props } = propsOf(readDeployment(config));
  new ReplicationGroup(app, group, { ...props, code: () => Code.fromInline('export {};') });
  app.synth();
}
