import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import type { OpenGroup } from '#functions/engines/open-group.ts';
import { originOf } from '#functions/engines/postgres-engine.ts';
import type { RegionEndpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig, PostgresEngineConfig } from '#lib/domain/topology.ts';
import { type Connect, connector } from '#lib/engines/postgres/connect.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { MAKE_APPLICATION_ROLE } from '#lib/local/application-role.ts';
import type { CloudOptions } from '#lib/local/cloud-settings.ts';
import { emptyTables, loadSql, refuseKeyless } from '#lib/local/load/load-sql.ts';
import { postgresBinaries, startPostgresServer } from '#lib/local/postgres-server.ts';
import { folderOf, onOnePort, type Place } from '#lib/local/region-servers.ts';
import type { LocalStores } from '#lib/local/stores/local-stores.ts';

/** Beside two others of its kind, and little data. */
const SETTINGS = { shared_buffers: '32MB', max_connections: 60 };

/** PostgreSQL databases: a server of its own in each Region. */
export class PostgresStores implements LocalStores {
  readonly #group: GroupConfig<PostgresEngineConfig>;
  readonly #options: Pick<CloudOptions, 'leader' | 'schema' | 'sqlFile'>;
  readonly #endpoints = new Map<RegionId, string>();

  constructor(
    group: GroupConfig<PostgresEngineConfig>,
    options: Pick<CloudOptions, 'leader' | 'schema' | 'sqlFile'>,
  ) {
    postgresBinaries();
    this.#group = group;
    this.#options = options;
  }

  async boot({ folder, run }: Place, region: RegionId): Promise<Partial<RegionEndpoints>> {
    // Where root runs this, the server is somebody else, who must be let through.
    if (process.getuid?.() === 0) await chmod(folder, 0o711);
    const directory = join(await folderOf(folder, region), 'database');
    const given = { directory, name: `PostgreSQL server of ${region}`, settings: SETTINGS };
    const { endpoint } = await run(
      region,
      'postgres',
      onOnePort((rest) => startPostgresServer({ ...given, ...rest })),
    );
    this.#endpoints.set(region, endpoint);
    return { postgres: endpoint };
  }

  /** Any Region may lead, so each gets what it takes to lead and to follow. */
  async provision(_: OpenGroup, region: RegionId): Promise<void> {
    const { publication, slot } = this.#group.engine;
    const { leader, schema = '', sqlFile } = this.#options;
    const connect = connector({ connectionString: this.#endpoints.get(region)! });
    const client = await connect();
    try {
      await client.query(schema);
      if (sqlFile !== undefined) await loadFile(connect, sqlFile, region === leader);
      await client.query(MAKE_APPLICATION_ROLE);
      await prepareFollower(client, originOf(this.#group));
      await prepareLeader(client, publication, slot);
    } finally {
      await client.end();
    }
  }
}

/** Runs a user's file. A follower keeps its tables alone. */
async function loadFile(connect: Connect, sqlFile: string, isLeader: boolean): Promise<void> {
  // A dump changes the settings of its session.
  const client = await connect();
  try {
    await loadSql(client, sqlFile);
    await refuseKeyless(client);
    if (!isLeader) await emptyTables(client);
  } finally {
    await client.end();
  }
}
