/** What Understudy keeps in a database is that database's own affair. */
export const OWN_SCHEMA = 'understudy';

/** What the messages that it writes into the log begin with. */
export const MESSAGE_PREFIX = 'understudy';

/** The setting by which its sessions make themselves known to the lease guard, which is for others. */
export const OWN_WRITES = 'understudy.writes';

/** Is a schema, given as an expression of SQL, one that users make: not the server's, and not Understudy's? */
export function isOfUsers(schema: string): string {
  return `(${schema} !~ '^pg_' AND ${schema} NOT IN ('information_schema', '${OWN_SCHEMA}'))`;
}
