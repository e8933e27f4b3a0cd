import { originOf } from '#functions/engines/postgres-engine.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';

type PrepareOptions = {
  readonly group: string;
  readonly url?: string;
  readonly publication: string;
  readonly slot: string;
};

/**
 * `understudy prepare --group NAME --url …`: makes in a database what a group needs to lead and to follow there, unless it is
 * there: schema, origin, publication and slot. Run it at every replica's, before the group is founded.
 */
export async function postgresPrepareCommand({
  group,
  publication,
  slot,
  url,
}: PrepareOptions): Promise<number> {
  const origin = originOf({ group: parseGroupId(group) });
  if (!/^postgres(ql)?:\/\//.test(url ?? '')) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      '--url does not say which database',
      'Give --url postgres://role@host/database, as the role of the group; the password may be in PGPASSWORD.',
    );
  }
  const client = await connector({ connectionString: url! })({ applicationName: 'understudy prepare' });
  try {
    await prepareFollower(client, origin);
    await prepareLeader(client, publication, slot);
  } finally {
    await client.end();
  }
  console.log(`The database can lead and follow in ${group}: publication ${publication}, slot ${slot}.`);
  return 0;
}
