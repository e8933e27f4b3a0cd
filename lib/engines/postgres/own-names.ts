/** What Understudy keeps in a database is that database's own affair. */
export const OWN_SCHEMA = 'understudy';

/** What the messages that it writes into the log begin with. */
export const MESSAGE_PREFIX = 'understudy';
