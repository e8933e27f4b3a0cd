import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import type { Report } from '../report.ts';
import type { Target } from '../target.ts';
import { cutOff, reconnect } from './cut-off.ts';
import { planReal } from './real-plan.ts';

export type RealOptions = {
  readonly profile?: string | undefined;
  readonly account?: string | undefined;
  readonly regions: readonly string[];
  readonly yes: boolean;
};

/** An account of AWS as the place of a run; undefined if it was only to be planned. Throws CONFIG_INVALID. */
export async function realTarget(
  options: RealOptions,
  id: string,
  /** What bears the name already, in these Regions. */
  inventory: (regions: readonly string[]) => Promise<readonly string[]>,
  report: Report,
): Promise<Target | undefined> {
  const { profile, regions } = options;
  const env = { ...process.env };
  if (profile !== undefined) process.env.AWS_PROFILE = profile;
  const asked = { ...options, profile, account: options.account, id, env };
  // What can be refused without a single request is.
  planReal({ ...asked, credentialsOf: options.account ?? 'the profile', existing: [] });
  const sts = new STSClient({ region: regions[0]! });
  const { Account } = await sts.send(new GetCallerIdentityCommand({}));
  sts.destroy();
  const plan = planReal({ ...asked, credentialsOf: Account!, existing: await inventory(regions) });
  for (const line of linesOf(plan)) report.say(line);
  if (!plan.goes) {
    report.say('Nothing was touched. To do it: the same with --yes.');
    return undefined;
  }
  return {
    name: `account ${plan.account}`,
    account: plan.account,
    env: { ...process.env },
    regions: plan.regions,
    bootstrap: false,
    outage: { lose: cutOff, bringBack: reconnect },
  };
}

function linesOf({ account, id, names, regions }: ReturnType<typeof planReal>): readonly string[] {
  return [
    `Account ${account}, Regions ${regions.join(', ')}; the CDK must be bootstrapped there.`,
    `Creates, changes and deletes only what is named ${names.join('* or ')} and tagged understudy:e2e=${id}:`,
    '  a stack per Region (three tables, a bucket, a queue, functions, a state machine, alarms, roles) and a hosted zone',
    'Forbids the functions of the leader everything for some minutes, to see another Region take over.',
    'Takes 10 to 15 minutes and costs less than 1 $; all of it is deleted at the end.',
    'If it breaks off: cdk destroy the stacks of that name, then docs/OPERATIONS.md, "Delete the data".',
  ];
}
