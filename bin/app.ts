import { fileURLToPath } from 'node:url';
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { readDeployment } from '#lib/constructs/config.ts';
import { RegionStack } from '#lib/constructs/region-stack.ts';
import { WitnessStack } from '#lib/constructs/witness-stack.ts';
import { isFailure } from '#lib/domain/errors.ts';

/** Stands for the account where neither the config file nor credentials name one: enough to synthesize. */
const NO_ACCOUNT = '000000000000';

try {
  const app = new App({ autoSynth: false });
  const file =
    app.node.tryGetContext('config') ?? fileURLToPath(new URL('../understudy.config.json', import.meta.url));
  const deployment = readDeployment(file);
  const account = deployment.account ?? process.env.CDK_DEFAULT_ACCOUNT ?? NO_ACCOUNT;
  for (const { name } of deployment.config.regions) {
    new RegionStack(app, { ...deployment, region: name, account });
  }
  for (const region of deployment.config.witnesses) {
    new WitnessStack(app, { ...deployment, region, account });
  }
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  app.synth();
} catch (error) {
  if (!isFailure(error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
