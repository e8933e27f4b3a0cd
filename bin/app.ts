import { fileURLToPath } from 'node:url';
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { propsOf, readDeployment } from '#lib/constructs/config.ts';
import { FailoverPathChecks } from '#lib/constructs/failover-path-checks.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { isFailure } from '#lib/domain/errors.ts';
import { bundledCode, bundledIn } from '../scripts/bundled-code.ts';

try {
  const app = new App({ autoSynth: false });
  const file =
    app.node.tryGetContext('config') ?? fileURLToPath(new URL('../understudy.config.json', import.meta.url));
  const props = propsOf(readDeployment(file));
  const bundles: string | undefined = app.node.tryGetContext('bundles');
  const code = bundles === undefined ? bundledCode : bundledIn(bundles);
  new ReplicationGroup(app, props.group, { ...props, code });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app), new FailoverPathChecks());
  app.synth();
} catch (error) {
  if (!isFailure(error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
