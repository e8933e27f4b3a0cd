import { jsonLine } from '#lib/cli/json-line.ts';
import { table } from '#lib/cli/table.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { diagnosePostgres } from '#lib/engines/postgres/doctor.ts';
import { postgresFacts } from '#lib/engines/postgres/doctor-facts.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';

/**
 * `understudy doctor --engine postgres --url …`: what is missing or risky in a database before it leads or follows. It
 * reads alone. Exit status 1 if a check failed.
 */
export async function postgresDoctorCommand(options: {
  engine?: string;
  url?: string;
  publication?: string;
  json?: boolean;
}): Promise<number> {
  // What has no scheme would be taken for the name of a database.
  if (options.engine !== 'postgres' || !/^postgres(ql)?:\/\//.test(options.url ?? '')) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `engine ${JSON.stringify(options.engine)} with ${options.url === undefined ? 'no URL' : 'this URL'} can't be checked`,
      'Give --engine postgres --url postgres://role@host/database; the password may be in PGPASSWORD.',
    );
  }
  const client = await connector({ connectionString: options.url })({ applicationName: 'understudy doctor' });
  try {
    const findings = diagnosePostgres(await postgresFacts(client, options.publication));
    if (options.json) for (const finding of findings) console.log(jsonLine(finding));
    else if (findings.length === 0) console.log('All is well.');
    else {
      const rows = findings.map(({ verdict, check, what, fix }) => [verdict, check, what, fix]);
      for (const line of table(['verdict', 'check', 'what', 'what to do'], rows)) console.log(line);
    }
    return findings.some(({ verdict }) => verdict === 'failed') ? 1 : 0;
  } catch (error) {
    throw postgresFailure(error, 'tell about itself');
  } finally {
    await client.end();
  }
}
