import { type Connection, connect, regionOf } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { inTime } from '#lib/cli/in-time.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { membersOf } from '#lib/domain/topology.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';

/**
 * `understudy found --leader`: names a group's first leader, in the register, in every Region and in DNS. With the leader
 * that it has by now, it takes in Regions that were added since, or that have lost their control table.
 */
export async function foundCommand(
  options: GroupChoice & { json?: boolean; leader?: string },
): Promise<number> {
  const connection = await connect(options);
  try {
    const leader = regionOf(connection.config, options.leader ?? '');
    await refuseOther(connection, leader);
    const first = founded(leader, parseEpoch(1), 'founding');
    const { register, joined } = await foundGroup(connection.register, first);
    if (register.leader !== leader || register.phase !== 'leading') throw isFounded(register);
    const untold = await nameEverywhere(connection, register, joined);
    if (options.json) console.log(jsonLine({ ...register, joined, untold }));
    else {
      const more = [...joinedLine(connection, joined), ...untoldLine(untold)];
      console.log([`${leader} leads epoch ${register.epoch}.`, ...more].join(' '));
    }
    return 0;
  } finally {
    connection.close();
  }
}

/** Of Regions that came to a group which was there. */
function joinedLine({ config }: Connection, joined: readonly RegionId[]): readonly string[] {
  const isNew = joined.length === 0 || joined.length === membersOf(config).length;
  return isNew ? [] : [`${joined.join(', ')} held nothing of the register and hold it now.`];
}

/** A Region whose data path goes by another leader already must not be told otherwise. */
async function refuseOther({ peers, config, register }: Connection, leader: RegionId): Promise<void> {
  const roles = await Promise.all(
    config.regions.map(({ name }) =>
      inTime(name, peers.control(name).role(), register.sleep).catch(() => {}),
    ),
  );
  const other = roles.find((role) => role !== undefined && role.leader !== leader);
  if (other !== undefined) throw isFounded(other);
}

function unreached(region: RegionId, cause: unknown): UnderstudyError {
  if (cause instanceof UnderstudyError) return cause;
  return new UnderstudyError(
    'REGION_UNREACHABLE',
    `${region} could not be told who leads: ${(cause as Error).message}`,
    'See whether it is up and whether you may reach its endpoints, then run this again.',
    { cause },
  );
}

function isFounded({ epoch, leader }: { readonly epoch: number; readonly leader: RegionId }) {
  return new UnderstudyError(
    'CONFIG_INVALID',
    `the group has a leader: ${leader}, epoch ${epoch}`,
    'To change it: understudy switchover --to REGION.',
  );
}

/** Of Regions that are lost, or have yet to be told. */
function untoldLine(untold: readonly RegionId[]): readonly string[] {
  if (untold.length === 0) return [];
  return [
    `${untold.join(', ')} could not be told: unless it is lost for good, run this again once it answers.`,
  ];
}

/**
 * Again for a group that is founded already: what a first try did not reach is told now. Returns the Regions that could not
 * be told: a lost one holds up nobody. Throws if it is the leader, or one that has joined just now.
 */
async function nameEverywhere(
  { config, peers, record, register }: Connection,
  value: Register,
  joined: readonly RegionId[],
): Promise<readonly RegionId[]> {
  const { epoch, leader } = value;
  const untold: RegionId[] = [];
  await Promise.all(
    config.regions.map(async ({ name }) => {
      try {
        await inTime(name, peers.control(name).nameLeader({ epoch, leader }), register.sleep);
      } catch (cause) {
        if (name === leader || joined.includes(name)) throw unreached(name, cause);
        untold.push(name);
      }
    }),
  );
  const target = config.failover.targets[leader];
  if (record === undefined || target === undefined) return untold;
  if ((await record.read()) === undefined) await record.flip(undefined, { epoch, target });
  return untold;
}
