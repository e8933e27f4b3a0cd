/**
 * The client: writes at whichever Region leads. Import it in an application as `understudy/client`.
 *
 * @module
 */
export { connectLeader } from '#lib/client/connect-leader.ts';
export type { ClientEvent, LeaderClientOptions, Site, TryFate } from '#lib/client/leader-client.ts';
export { fateOf, LeaderClient } from '#lib/client/leader-client.ts';
export { LeaderFinder } from '#lib/client/leader-finder.ts';
export { LeaderLease } from '#lib/client/leader-lease.ts';
export { NotLeaderError } from '#lib/client/not-leader-error.ts';
export { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
