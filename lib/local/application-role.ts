import { isOfUsers } from '#lib/engines/postgres/own-names.ts';

/** As which an application of the embedded cloud logs in to a PostgreSQL server: somebody whom a fence can shut out. */
export const APPLICATION_ROLE = 'application';
const PASSWORD = 'local';

/** Makes the role on a server, and lets it use the tables that are in a database. */
export const MAKE_APPLICATION_ROLE = `
  DO $$ BEGIN CREATE ROLE ${APPLICATION_ROLE} LOGIN PASSWORD '${PASSWORD}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
  DO $$ DECLARE each name; BEGIN
    FOR each IN SELECT nspname FROM pg_namespace WHERE ${isOfUsers('nspname')} LOOP
      EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO ${APPLICATION_ROLE};
        GRANT ALL ON ALL TABLES IN SCHEMA %1$I TO ${APPLICATION_ROLE}; GRANT ALL ON ALL SEQUENCES IN SCHEMA %1$I TO ${APPLICATION_ROLE}', each);
    END LOOP;
  END $$`;

/** The connection string of a server's administrator, for an application. */
export function asApplicationRole(url: string): string {
  return Object.assign(new URL(url), { username: APPLICATION_ROLE, password: PASSWORD }).href;
}
