import { type Connection, connect, regionOf } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { inTime } from '#lib/cli/in-time.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { foundGroup } from '#lib/usecases/control/change-register.ts';
import { joinRegister } from '#lib/usecases/control/join-register.ts';

/**
 * `understudy found --leader`: names a group's first leader, in the register, in every Region and in DNS. With the leader
 * that it has by now, it takes in Regions that were added since.
 */
export async function foundCommand(
  options: GroupChoice & { json?: boolean; leader?: string },
): Promise<number> {
  const connection = await connect(options);
  try {
    const leader = regionOf(connection.config, options.leader ?? '');
    await refuseOther(connection, leader);
    const first = founded(leader, parseEpoch(1), 'founding');
    const { register } = await foundGroup(connection.register, first);
    if (register.leader !== leader || register.phase !== 'leading') throw isFounded(register);
    await joinRegister(connection.register, register);
    await nameEverywhere(connection, register);
    console.log(options.json ? jsonLine(register) : `${leader} leads epoch ${register.epoch}.`);
    return 0;
  } finally {
    connection.close();
  }
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

function isFounded({ epoch, leader }: { readonly epoch: number; readonly leader: RegionId }) {
  return new UnderstudyError(
    'CONFIG_INVALID',
    `the group has a leader: ${leader}, epoch ${epoch}`,
    'To change it: understudy switchover --to REGION.',
  );
}

/** Again for a group that is founded already: what a first try did not reach is told now. */
async function nameEverywhere(
  { config, peers, record, register }: Connection,
  value: Register,
): Promise<void> {
  const { epoch, leader } = value;
  await Promise.all(
    config.regions.map(({ name }) =>
      inTime(name, peers.control(name).nameLeader({ epoch, leader }), register.sleep),
    ),
  );
  const target = config.failover.targets[leader];
  if (record === undefined || target === undefined) return;
  if ((await record.read()) === undefined) await record.flip(undefined, { epoch, target });
}
