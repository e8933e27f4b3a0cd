/**
 * The client: writes at whichever Region leads. Import it in an application as `understudy/client`.
 *
 * @module
 */
export { connectLeader } from '#lib/client/connect-leader.ts';
export type { PostgresLeader, PostgresLogin } from '#lib/client/connect-postgres-leader.ts';
export { connectPostgresLeader } from '#lib/client/connect-postgres-leader.ts';
export type { GroupOptions } from '#lib/client/group-sites.ts';
export type { ClientEvent, LeaderClientOptions, Site, TryFate } from '#lib/client/leader-client.ts';
export { fateOf, LeaderClient } from '#lib/client/leader-client.ts';
export { LeaderFinder } from '#lib/client/leader-finder.ts';
export { LeaderLease } from '#lib/client/leader-lease.ts';
export { NotLeaderError } from '#lib/client/not-leader-error.ts';
export type { PostgresSession } from '#lib/client/postgres-transaction.ts';
export { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
