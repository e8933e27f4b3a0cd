import { AwsPeers } from '#lib/aws/aws-peers.ts';
import { type RuntimeConfig, readConfig } from '#lib/aws/config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Leadership } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { findCloud, readCloudFile } from '#lib/local/cloud-file.ts';

/** A group that commands look at. */
export type Connection = {
  readonly config: RuntimeConfig;
  readonly peers: AwsPeers;
  /** Who leads, by the first Region that answers. */
  readonly role: () => Promise<Leadership>;
  readonly close: () => void;
};

/** Connects to the group that `file` describes; without one, to the embedded cloud that runs on this machine. */
export async function connect(file: string | undefined): Promise<Connection> {
  const cloud = file === undefined ? await findCloud() : await readCloudFile(file);
  const config = readConfig({
    UNDERSTUDY_CONFIG: JSON.stringify(cloud.config),
    UNDERSTUDY_ENDPOINTS: JSON.stringify(cloud.endpoints),
  });
  const peers = new AwsPeers(config, STAMP_ATTRIBUTE);
  const role = async () => {
    const answers = config.regions.map(({ name }) => peers.control(name).role());
    try {
      return await Promise.any(answers);
    } catch (cause) {
      throw new UnderstudyError(
        'REGION_UNREACHABLE',
        'no Region of the group answers',
        'See whether the cloud is still running and whether you may reach its endpoints.',
        { cause },
      );
    }
  };
  return { config, peers, role, close: () => peers.destroy() };
}

/** A Region of the group by name. Throws CONFIG_INVALID that lists them. */
export function regionOf(config: RuntimeConfig, name: string): RegionId {
  const found = config.regions.find((each) => each.name === name);
  if (found !== undefined) return found.name;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${name} is not a Region of group ${config.group}`,
    `Use one of ${config.regions.map((each) => each.name).join(', ')}.`,
  );
}
