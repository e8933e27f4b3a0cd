import { deployedConfig } from '#lib/aws/deployed-config.ts';
import { RegionClients } from '#lib/aws/region-clients.ts';
import { resourceName } from '#lib/constructs/names.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type GroupId, parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { type CloudFile, findCloud, readCloudFile } from '#lib/local/cloud-file.ts';

/** Which group a command is about; without either, that of the embedded cloud that runs on this machine. */
export type GroupChoice = {
  /** A group on AWS, and Regions that can tell of it: `orders@eu-west-1,us-east-1`. */
  readonly group?: string;
  /** A file that describes one. */
  readonly cloud?: string;
};

/** What there is to know of the chosen group. Throws CONFIG_INVALID, GROUP_NOT_FOUND or CLOUD_NOT_FOUND. */
export async function findGroup({ cloud, group }: GroupChoice): Promise<CloudFile> {
  if (group !== undefined && cloud !== undefined) {
    throw new UnderstudyError('CONFIG_INVALID', '--group and --cloud each name a group', 'Give one of them.');
  }
  if (group !== undefined) return deployedGroup(group);
  return cloud === undefined ? findCloud() : readCloudFile(cloud);
}

/** Asks all named Regions at once: one of them may be lost. */
async function deployedGroup(named: string): Promise<CloudFile> {
  const [name, at = ''] = named.split(/@(.*)/s);
  const group = parseGroupId(name!);
  const regions = at.split(',').map((region) => parseRegionId(region.trim()));
  try {
    const config = await Promise.any(regions.map((region) => replicaConfig(group, region)));
    return { pid: process.pid, config, isWatched: true, endpoints: {} };
  } catch (cause) {
    const { errors } = cause as AggregateError;
    const answers = regions.map((region, index) => `${region}: ${(errors[index] as Error).message}`);
    throw new UnderstudyError(
      'GROUP_NOT_FOUND',
      `nobody tells of group ${group}: ${answers.join('; ')}`,
      'Name the Regions of its replicas, --group NAME@REGION,REGION, with credentials of its account.',
      { cause },
    );
  }
}

/** The configuration of a replica's sentinel; that of a witness knows less than commands need. */
async function replicaConfig(group: GroupId, region: RegionId): Promise<Readonly<Record<string, unknown>>> {
  const clients = new RegionClients(region, {});
  try {
    const config = await deployedConfig(clients.lambda!, resourceName(group, 'sentinel'));
    const { witnesses } = config;
    if (Array.isArray(witnesses) && witnesses.includes(region)) throw new Error('it is a witness there');
    return config;
  } finally {
    clients.destroy();
  }
}
