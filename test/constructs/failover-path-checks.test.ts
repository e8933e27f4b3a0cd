import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IPolicyValidationContext } from 'aws-cdk-lib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FailoverPathChecks } from '#lib/constructs/failover-path-checks.ts';
import { appOf, fileOf } from './stacks.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-path-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The report on a group, beside a stack of somebody else's in the same app. */
async function report(changes: object) {
  const other = { Resources: { K: { Type: 'AWS::IAM::Role', Properties: {} } } };
  const templates = [...appOf(fileOf(changes)).templates.map((each) => each.toJSON()), other];
  const templatePaths = templates.map((_, index) => join(folder, `${index}.template.json`));
  await Promise.all(templates.map((each, index) => writeFile(templatePaths[index]!, JSON.stringify(each))));
  return new FailoverPathChecks().validate({ templatePaths } as unknown as IPolicyValidationContext);
}

const { record, targets } = fileOf().failover;

it('stops the synthesis of a group whose profile can not wait for what it depends on, and says what to set', async () => {
  const { success, violations } = await report({ failover: { profile: 'fast', record, targets } });
  expect(success).toBe(false);
  expect(violations.map(({ ruleName }) => ruleName)).toEqual(Array(3).fill('control-plane'));
  for (const { description, fix, violatingResources } of violations) {
    expect(description).toMatch(/^Repoint in \S+-\d: .*us-east-1/);
    expect(fix).toContain('Profile.balanced');
    expect(violatingResources[0]).toMatchObject({
      resourceLogicalId: expect.stringMatching(/^failoverFunction/),
      templatePath: expect.stringContaining(folder),
    });
  }
});

it('warns where the profile can wait, and lets the rest be: witnesses, and stacks of others', async () => {
  const { success, violations } = await report({
    regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
    witnesses: ['eu-central-1'],
    failover: {
      record,
      targets: { 'eu-west-1': 'a.example.com', 'us-east-1': 'b.example.com' },
    },
  });
  expect(success).toBe(true);
  expect(violations.map(({ severity }) => severity)).toEqual(['warning', 'warning']);
});

it('finds nothing where clients are told by other means', async () => {
  expect(await report({ failover: { profile: 'fast' } })).toEqual({ success: true, violations: [] });
});
