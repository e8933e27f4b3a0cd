import type { Group } from '../group.ts';
import { Writer } from '../writer.ts';
import { alarms } from './alarms.ts';
import { deploy } from './deploy.ts';
import { agree, drill } from './drill.ts';
import { living } from './living.ts';
import { loss } from './loss.ts';
import { outage } from './outage.ts';
import { permissions } from './permissions.ts';
import { replicate } from './replicate.ts';
import { scheduledDrill } from './scheduled-drill.ts';
import { hear, secrecy } from './secrecy.ts';
import { security } from './security.ts';
import { teardown } from './teardown.ts';

/** A group's life from the first deployment to its end. */
export async function runPhases(group: Group): Promise<void> {
  const { report } = group;
  report.say(`group ${group.id} on ${group.target.name}: ${group.regions.join(', ')}`);
  await deploy(group);
  await security(group);
  await replicate(group);
  const writer = new Writer(group);
  writer.start();
  try {
    await drill(group, writer);
    await writer.stop();
    await agree(group, writer);
    writer.start();
    const lost = await outage(group, writer);
    // A Region that is removed tells nothing afterwards.
    const told = [await hear(group)];
    await permissions(group, told[0]!);
    writer.start();
    await living(group, writer);
    if (lost !== undefined) await alarms(group, lost);
    await scheduledDrill(group);
    told.push(await hear(group));
    await loss(group, writer);
    told.push(await hear(group));
    await secrecy(group, told);
  } finally {
    await writer.stop();
  }
  await teardown(group);
}
