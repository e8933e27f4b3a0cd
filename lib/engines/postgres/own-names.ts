/** What Understudy keeps in a database is that database's own affair. */
export const OWN_SCHEMA = 'understudy';

/** What the messages that it writes into the log begin with. */
export const MESSAGE_PREFIX = 'understudy';

/** The setting by which its sessions make themselves known to the lease guard, which is for others. */
export const OWN_WRITES = 'understudy.writes';
