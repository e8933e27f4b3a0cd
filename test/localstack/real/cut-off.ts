import {
  DeleteRolePolicyCommand,
  IAMClient,
  ListRoleTagsCommand,
  PutRolePolicyCommand,
} from '@aws-sdk/client-iam';
import { FUNCTIONS, roleName } from '#lib/constructs/names.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import type { Group } from '../group.ts';
import { HOME } from '../target.ts';
import { assertOwn } from './real-plan.ts';

const PolicyName = 'understudy-e2e-outage';

/** What is forbidden, and to which of a Region's functions. */
type Ban = {
  readonly functions: readonly string[];
  readonly Action: string;
  readonly Resource: string;
};

const EVERYTHING: Ban = { functions: FUNCTIONS, Action: '*', Resource: '*' };

/**
 * An outage where nobody can stop a Region: its functions are forbidden everything, so that its leader neither beats
 * nor answers, while the table there still takes writes, as that of a leader does that is cut off. By IAM alone: the
 * Region itself need not answer.
 */
export async function cutOff(group: Group, region: string): Promise<void> {
  await forbid(group, region, EVERYTHING);
}

/** Allows what was forbidden, to the roles that are still there. */
export async function reconnect(group: Group, region: string): Promise<void> {
  await allow(group, region, EVERYTHING);
}

export async function forbid(
  group: Group,
  region: string,
  { functions, Action, Resource }: Ban,
): Promise<void> {
  const Statement = [{ Effect: 'Deny', Action, Resource }];
  const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement });
  await eachRole(group, region, functions, async (iam, RoleName) => {
    await iam.send(new PutRolePolicyCommand({ RoleName, PolicyName, PolicyDocument }));
  });
}

export async function allow(
  group: Group,
  region: string,
  { functions }: Pick<Ban, 'functions'>,
): Promise<void> {
  await eachRole(group, region, functions, async (iam, RoleName) => {
    await iam.send(new DeleteRolePolicyCommand({ RoleName, PolicyName })).catch(unlessGone);
  });
}

async function eachRole(
  group: Group,
  region: string,
  functions: readonly string[],
  change: (iam: IAMClient, role: string) => Promise<void>,
): Promise<void> {
  const iam = new IAMClient({ region: HOME });
  try {
    for (const part of functions) {
      const RoleName = roleName(parseGroupId(group.id), part, region);
      const found = await iam.send(new ListRoleTagsCommand({ RoleName })).catch(unlessGone);
      if (found === undefined) continue;
      const { Tags = [] } = found;
      assertOwn(group.id, RoleName, Object.fromEntries(Tags.map(({ Key, Value }) => [Key!, Value!])));
      await change(iam, RoleName);
    }
  } finally {
    iam.destroy();
  }
}

function unlessGone(error: Error): undefined {
  if (error.name !== 'NoSuchEntityException') throw error;
}
