import { GetFunctionConfigurationCommand } from '@aws-sdk/client-lambda';
import { FUNCTIONS } from '#lib/constructs/names.ts';
import { createZone, readRecord } from '../dns-record.ts';
import type { Group } from '../group.ts';
import { standingsOf } from '../items.ts';

/** From nothing to a group that has a leader. */
export async function deploy(group: Group): Promise<void> {
  const { report, target } = group;
  report.begin('deploy');
  if (target.bootstrap) {
    await report.check(
      'cdk bootstrap',
      () => group.bootstrap(),
      () => group.regions.join(', '),
    );
  }
  group.zoneId = await createZone(group);
  await report.check('cdk deploy --all, three Regions', () => deployAll(group));
  await sayWhatIsMissing(group);
  await report.check(
    'the functions are there, each under a role of its own',
    async () => {
      const roles = new Set<string>();
      for (const region of group.regions) {
        for (const part of FUNCTIONS) {
          const { Role } = await group
            .lambda(region)
            .send(new GetFunctionConfigurationCommand({ FunctionName: group.nameOf(part) }));
          roles.add(Role!);
        }
      }
      if (roles.size !== FUNCTIONS.length * group.regions.length) throw new Error(`only ${roles.size} roles`);
      return roles.size;
    },
    (count) => `${count} functions`,
  );
  await report.check('cdk diff finds nothing right after', () => noDifference(group));
  const leader = group.regions[0]!;
  await report.check(`understudy found --leader ${leader}`, async () => {
    await group.understudy(['found', '--leader', leader]);
    const standings = await standingsOf(group);
    const told = standings.filter(({ epoch, roleLeader }) => epoch === 1 && roleLeader === leader);
    if (told.length < group.regions.length) throw new Error(`only ${told.length} Regions know`);
    const record = await readRecord(group);
    if (record?.target !== group.endpointOf(leader)) throw new Error(`DNS names ${record?.target}`);
    return `epoch 1; DNS names ${record.target}`;
  });
}

/** An emulator of somebody's choice may lack what the run then does without. */
async function sayWhatIsMissing(group: Group): Promise<void> {
  const { report, target } = group;
  if (target.foreign === undefined) return;
  if (group.leftOut.length > 0) {
    report.say(`      without ${group.leftOut.join(', ')}, which this cloud does not know`);
  }
  const fed = await target.foreign.feed.replace(group);
  if (fed.length > 0) {
    report.say(
      `      without its event sources for capture, which name no shard: the run reads the stream itself`,
    );
  }
  report.say('      without security, outage and alarms: they need the emulator that the run starts itself');
}

export async function deployAll(group: Group): Promise<void> {
  const begunMs = Date.now();
  // Emulators of one process for all Regions confuse functions of one name that are made at the same time.
  const concurrency = group.target.foreign === undefined ? '3' : '1';
  await group.cdk(['deploy', '--all', '--concurrency', concurrency, ...settings(group)]);
  await group.target.foreign?.feed.replace(group);
  group.deployMs = Math.max(group.deployMs, Date.now() - begunMs);
}

/** The stacks of these Regions, and no other. */
export async function deployOnly(group: Group, ...regions: readonly string[]): Promise<void> {
  const stacks = regions.map((region) => `${group.id}/${region}`);
  await group.cdk(['deploy', ...stacks, '--exclusively', '--concurrency', '3', ...settings(group)]);
  await group.target.foreign?.feed.replace(group);
}

/** Removes one Region's stack, and no other. */
export async function destroyOnly(group: Group, region: string): Promise<void> {
  await group.cdk(['destroy', `${group.id}/${region}`, '--exclusively', '--force']);
}

function settings({ id }: Group): readonly string[] {
  return ['--require-approval', 'never', '--progress', 'events', '--tags', `understudy:e2e=${id}`];
}

/** Whether who leads has changed any template: status 1 of `cdk diff --fail` says that something differs. */
export async function noDifference(group: Group): Promise<void> {
  await group.cdk(['diff', '--fail']);
}
