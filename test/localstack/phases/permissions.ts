import type { Group } from '../group.ts';
import type { Told } from './secrecy.ts';

/** IAM's words for what nobody has granted; what a policy denies outright, as the fence does, is meant to be denied. */
const MISSING =
  /User: \S+?assumed-role\/(\S+?)\/\S+ is not authorized to perform: (\S+) .*?no identity-based policy allows/;

/**
 * No role of the group has lacked a permission in all that it did: a step that goes on without one says so in what it
 * leaves. For a group whose Regions stay the same: who loses one may not act there any more, a moment before he knows.
 */
export async function permissions(group: Group, { logs, runs }: Told): Promise<void> {
  await group.report.check('no role has lacked a permission', async () => {
    const missing = [...logs, ...runs].flatMap((text) => MISSING.exec(text)?.slice(1, 3).join(' ') ?? []);
    if (missing.length > 0) throw new Error([...new Set(missing)].join('; '));
  });
}
