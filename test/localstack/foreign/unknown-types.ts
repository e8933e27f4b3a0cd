import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CloudFormationClient,
  CreateChangeSetCommand,
  DeleteStackCommand,
} from '@aws-sdk/client-cloudformation';
import type { Group } from '../group.ts';

type Template = { readonly Resources: Record<string, { readonly Type: string }> };

const REFUSAL = /Unrecognized resource types: \[([^\]]*)\]/;

/**
 * Takes out of the synthesized templates what this cloud's CloudFormation does not know, and answers its types. Without
 * that, it would refuse them as a whole.
 */
export async function leaveOutUnknown(group: Group, output: string): Promise<readonly string[]> {
  const files = (await readdir(output)).filter((name) => name.endsWith('.template.json'));
  const templates = await Promise.all(
    files.map(async (name) => {
      const path = join(output, name);
      return { path, template: JSON.parse(await readFile(path, 'utf8')) as Template };
    }),
  );
  const types = new Set(
    templates.flatMap(({ template }) => Object.values(template.Resources).map(({ Type }) => Type)),
  );
  const unknown = await unknownOf(group, [...types]);
  if (unknown.length === 0) return [];
  for (const { path, template } of templates) {
    const known = Object.entries(template.Resources).filter(([, { Type }]) => !unknown.includes(Type));
    await writeFile(path, JSON.stringify({ ...template, Resources: Object.fromEntries(known) }));
  }
  return unknown;
}

/** Asked by a change set with one resource of each type; it is never executed. */
async function unknownOf(group: Group, types: readonly string[]): Promise<readonly string[]> {
  const cloudformation = new CloudFormationClient({ region: group.regions[0]! });
  const StackName = group.nameOf('types');
  const Resources = Object.fromEntries(types.map((Type, n) => [`R${n}`, { Type, Properties: {} }]));
  try {
    await cloudformation.send(
      new CreateChangeSetCommand({
        StackName,
        ChangeSetName: 'types',
        ChangeSetType: 'CREATE',
        TemplateBody: JSON.stringify({ Resources }),
      }),
    );
    await cloudformation.send(new DeleteStackCommand({ StackName }));
    return [];
  } catch (error) {
    // Of anything else the deployment itself will tell.
    const named = REFUSAL.exec((error as Error).message)?.[1];
    return named === undefined ? [] : named.split(',').map((type) => type.trim());
  } finally {
    cloudformation.destroy();
  }
}
