import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { table } from '#lib/cli/table.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { verify } from '#lib/usecases/verify.ts';

/** On a live group a follower is a little behind: a key that differs is looked at again this often. */
const RECHECKS = 10;
const PAUSE_MS = 500;

/** `understudy verify`: compares each follower with the leader. Throws REPLICAS_DIFFER after naming the keys. */
export async function verifyCommand(options: GroupChoice & { json?: boolean }): Promise<number> {
  const { config, engine, role, close } = await connect(options, 'data');
  try {
    const { leader } = await role();
    const followers = config.regions.map(({ name }) => name).filter((name) => name !== leader);
    const pause = () => sleep(PAUSE_MS);
    const results = await Promise.all(
      followers.map(async (region) => ({
        region,
        ...(await verify(engine.digest(leader), engine.digest(region), { rechecks: RECHECKS, pause })),
      })),
    );
    if (options.json) {
      for (const result of results) console.log(JSON.stringify({ leader, ...result }));
    } else {
      const rows = results.map(({ region, equal, rows, digest, differingBuckets, buckets, differing }) => [
        region,
        equal ? 'equal' : 'differs',
        `${rows}`,
        digest.slice(0, 16),
        `${equal ? 0 : differingBuckets} of ${buckets}`,
        `${differing}`,
      ]);
      const head = [
        'Region',
        `against ${leader}`,
        'items',
        'digest',
        'buckets that differ',
        'keys that differ',
      ];
      for (const line of table(head, rows)) console.log(line);
      for (const { region, differences } of results) {
        for (const { key, kind } of differences) console.log(`${region}: ${kind}: ${key}`);
      }
    }
    const wrong = results.filter(({ equal }) => !equal).map(({ region }) => region);
    if (wrong.length === 0) return 0;
    throw new UnderstudyError(
      'REPLICAS_DIFFER',
      `${wrong.join(', ')} ${wrong.length === 1 ? 'does' : 'do'} not hold what ${leader} holds`,
      'See the keys above; look at the lag and at local writes on the follower.',
    );
  } finally {
    close();
  }
}
