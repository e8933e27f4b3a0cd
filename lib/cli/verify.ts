import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { table } from '#lib/cli/table.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Leadership } from '#lib/domain/topology.ts';
import { type Verified, verify } from '#lib/usecases/verify.ts';
import { type VerifiedAtLsn, verifyAtLsn } from '#lib/usecases/verify-at-lsn.ts';

/** On a live group a follower is a little behind: a key that differs is looked at again this often. */
const RECHECKS = 10;
const PAUSE_MS = 500;

type Result = { readonly region: RegionId } & (Verified | VerifiedAtLsn);

/** `understudy verify`: compares each follower with the leader. Throws REPLICAS_DIFFER after naming the keys, and VERIFY_BEHIND. */
export async function verifyCommand(options: GroupChoice & { json?: boolean }): Promise<number> {
  const connection = await connect(options, 'data');
  try {
    const role = await connection.role();
    const { leader } = role;
    const followers = connection.config.regions.map(({ name }) => name).filter((name) => name !== leader);
    const results = await Promise.all(
      followers.map(async (region) => ({ region, ...(await compare(connection, role, region)) })),
    );
    if (options.json) for (const result of results) console.log(jsonLine({ leader, ...result }));
    else for (const line of linesOf(leader, results)) console.log(line);
    const wrong = results.filter(({ equal }) => !equal).map(({ region }) => region);
    if (wrong.length === 0) return 0;
    throw new UnderstudyError(
      'REPLICAS_DIFFER',
      `${wrong.join(', ')} ${wrong.length === 1 ? 'does' : 'do'} not hold what ${leader} holds`,
      'See the keys above; look at the lag and at local writes on the follower.',
    );
  } finally {
    connection.close();
  }
}

function compare(
  { engine, peers }: Connection,
  role: Leadership,
  region: RegionId,
): Promise<Verified | VerifiedAtLsn> {
  const options = { rechecks: RECHECKS, pause: () => sleep(PAUSE_MS) };
  return engine.pair === undefined
    ? verify(engine.digest(role.leader), engine.digest(region), options)
    : verifyAtLsn(() => engine.pair!(role, region, (at) => peers.log(at)), options);
}

function linesOf(leader: RegionId, results: readonly Result[]): readonly string[] {
  const rows = results.map((result) => {
    const { region, equal, rows: items, digest, differingBuckets, buckets, differing } = result;
    return [
      region,
      equal ? 'equal' : 'differs',
      'lsn' in result ? `${result.lsn}` : '',
      `${items}`,
      digest.slice(0, 16),
      `${equal ? 0 : differingBuckets} of ${buckets}`,
      `${differing}`,
    ];
  });
  const head = [
    'Region',
    `against ${leader}`,
    'at LSN',
    'items',
    'digest',
    'buckets that differ',
    'keys that differ',
  ];
  return [...table(head, rows), ...results.flatMap(notesOf)];
}

function notesOf(result: Result): readonly string[] {
  const { region, differences } = result;
  const notes = differences.map(({ key, kind }) => `${region}: ${kind}: ${key}`);
  if (!('lsn' in result)) return notes;
  const { rechecked, recheckedAt, changing, strays } = result;
  if (recheckedAt !== undefined) {
    notes.push(
      `${region}: ${rechecked} keys changed meanwhile and were compared up to LSN ${recheckedAt}${
        changing === 0
          ? ''
          : `; ${changing} of them changed at each look: they are there, their values were not compared`
      }`,
    );
  }
  for (const { table: name, what, fix } of strays) notes.push(`${region}: table ${name}: ${what}. ${fix}`);
  return notes;
}
