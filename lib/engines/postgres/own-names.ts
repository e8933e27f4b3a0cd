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

/**
 * Joins the relation `c` of each row `p` of pg_publication_tables, and its schema `n`. By names: a cast to regclass may be made
 * for tables that are not published, too, as the planner likes it, and fails for a role that may not use their schema, as any
 * but a superuser that of TOAST tables.
 */
export const PUBLISHED_CLASS = `JOIN pg_namespace n ON n.nspname = p.schemaname
       JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename`;
