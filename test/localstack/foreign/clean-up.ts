import { deleteRetained } from '../delete-retained.ts';
import { deleteZone } from '../dns-record.ts';
import type { Group } from '../group.ts';
import { inventoryOf } from '../inventory.ts';
import { deleteStrayLogGroups } from './stray-log-groups.ts';

/** Removes what a run that failed or was interrupted has left in a cloud that stays. */
export async function cleanUp(group: Group): Promise<void> {
  const { report } = group;
  report.begin('clean up after the failure');
  const attempts: readonly (() => Promise<unknown>)[] = [
    () => group.cdk(['destroy', '--all', '--force']),
    () => deleteRetained(group),
    () => deleteZone(group),
    () => deleteStrayLogGroups(group),
  ];
  for (const attempt of attempts)
    await attempt().catch((error: Error) => report.say(`      ${error.message}`));
  const left = await inventoryOf(group);
  report.say(left.length === 0 ? '      nothing is left' : `      left: ${left.join('; ')}`);
}
