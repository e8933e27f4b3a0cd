/** When a caller may try the same call again: at once, after something has changed, or never. */
export type Retry = 'now' | 'later' | 'never';

type ErrorSpec = { readonly summary: string; readonly retry: Retry };

/**
 * Every failure that Understudy names. A code is also a heading of docs/RUNBOOK.md, where an operator finds
 * what it means and what to do; a test holds the two together.
 */
export const ERRORS = {
  CONFIG_INVALID: { summary: 'The configuration is not valid', retry: 'never' },
  CONFIG_REGION_REPEATED: { summary: 'Two Regions of the group have the same name', retry: 'never' },
  EVENT_INVALID: { summary: 'A function was invoked with an event of the wrong shape', retry: 'never' },
  STORED_ITEM_INVALID: {
    summary: 'An item of the log or control table is not of a known shape',
    retry: 'never',
  },
  STREAM_MISSING: { summary: 'The table has no stream', retry: 'never' },
  STREAM_VIEW_TYPE: { summary: 'The stream does not carry new and old images', retry: 'never' },
  CAPTURE_SHARD_UNKNOWN: { summary: 'The event does not name its shard', retry: 'never' },
  CAPTURE_RECORD_REJECTED: { summary: 'A stream record cannot be logged', retry: 'never' },
  ITEM_TOO_LARGE: { summary: 'An item leaves no room for the reserved attribute', retry: 'never' },
  PGOUTPUT_MALFORMED: {
    summary: 'A change message of PostgreSQL is not as its protocol says',
    retry: 'never',
  },
  POSTGRES_UNREACHABLE: { summary: 'A PostgreSQL server did not answer', retry: 'later' },
  POSTGRES_REFUSED: { summary: 'A PostgreSQL server refused the role or its rights', retry: 'never' },
  POSTGRES_TOO_OLD: { summary: 'A PostgreSQL server is of a version that can not take part', retry: 'never' },
  LOGIN_UNREADABLE: { summary: 'Nobody says how to be let into a database', retry: 'later' },
  POSTGRES_FAILED: { summary: 'A PostgreSQL server could not do what it was asked', retry: 'later' },
  POSTGRES_EXHAUSTED: {
    summary: 'A PostgreSQL server has no disk, memory or connections left',
    retry: 'later',
  },
  POSTGRES_BLOCKED: { summary: "A statement waited in vain for somebody else's lock", retry: 'later' },
  SLOT_LOST: { summary: 'A replication slot is gone or has lost changes', retry: 'never' },
  PUBLICATION_UNFIT: {
    summary: 'A publication is missing, or leaves out changes',
    retry: 'later',
  },
  SLOT_BUSY: { summary: 'Somebody else reads the replication slot', retry: 'later' },
  SCHEMA_DIFFERS: { summary: 'A table is not the same at the leader and at a follower', retry: 'later' },
  APPLY_CONFLICT: { summary: 'A row at a follower is not what the log says it was', retry: 'later' },
  APPLY_REFUSED: {
    summary: "A trigger or a constraint of a follower's own refuses a change",
    retry: 'later',
  },
  SEGMENT_TORN: { summary: 'A segment ends before its footer', retry: 'later' },
  SEGMENT_CORRUPT: { summary: 'A segment fails its checksum or breaks its format', retry: 'later' },
  SEGMENT_FORGED: { summary: 'A segment is not the one that its entry names', retry: 'later' },
  SEGMENT_VERSION: {
    summary: 'A segment has a format version that this release does not know',
    retry: 'never',
  },
  SEGMENT_MISSING: { summary: 'An entry names a segment that the bucket does not hold', retry: 'later' },
  LOG_FENCED: { summary: 'The log is sealed by a newer epoch', retry: 'never' },
  LOG_DIVERGED: { summary: 'Two logs hold different records at the same LSN', retry: 'never' },
  LOG_CONTENDED: { summary: 'An append lost too many races for the head', retry: 'now' },
  FOLLOWER_BEHIND_RETENTION: {
    summary: 'The follower is further behind than the log reaches back',
    retry: 'later',
  },
  RETENTION_UNFINISHED: { summary: 'Retention did not get through the log in its time', retry: 'now' },
  DEPLOY_REFUSED: { summary: 'The group cannot be deployed over as it is', retry: 'later' },
  GROUP_NOT_FOUNDED: { summary: 'The group has no leader yet', retry: 'later' },
  REGISTER_UNAVAILABLE: { summary: 'No majority of the Regions answered', retry: 'later' },
  REGISTER_FORGOTTEN: {
    summary: 'A Region that the majority needs holds nothing of the register',
    retry: 'later',
  },
  REGISTER_CONTENDED: { summary: 'A change of the register lost too many races', retry: 'now' },
  NO_CANDIDATE: { summary: 'No replica may be promoted', retry: 'later' },
  RUN_STOPPED: { summary: 'A failover stopped at a step that kept failing', retry: 'later' },
  PLAN_STALE: { summary: 'The group has changed since the plan was made', retry: 'now' },
  FAILOVER_REFUSED: { summary: 'A guard forbids the failover', retry: 'later' },
  DRILL_FAILED: { summary: 'A drill did not pass, or left no evidence', retry: 'never' },
  FORCE_WITHOUT_REASON: { summary: 'A forced failover needs a reason', retry: 'never' },
  REGIONS_TOO_FEW: { summary: 'Two Regions cannot outvote a lost one', retry: 'never' },
  FENCE_NOT_MOVED: { summary: "A store's fence could not be moved", retry: 'later' },
  HOST_FENCE_FAILED: { summary: "The user's own host fence failed", retry: 'later' },
  NOT_LEADER: { summary: 'This Region does not lead, or its lease is over', retry: 'later' },
  LEASE_SPENT: { summary: 'More writes have begun than the leader has granted so far', retry: 'now' },
  WRITE_UNKNOWN: { summary: 'A write may or may not have been made', retry: 'later' },
  DIVERGENCE_UNSAVED: { summary: 'A divergent tail is not saved yet', retry: 'later' },
  ROLE_UNKNOWN: { summary: 'The control table does not say who leads', retry: 'later' },
  REGION_UNREACHABLE: { summary: 'A Region did not answer', retry: 'now' },
  ALARMS_UNREADABLE: { summary: 'CloudWatch does not say how the alarms stand', retry: 'later' },
  LOAD_FILE_UNREADABLE: { summary: 'The load file cannot be read', retry: 'never' },
  LOAD_LINE_MALFORMED: { summary: 'A line of the load file is not an item, or not SQL', retry: 'never' },
  LOAD_STATEMENT_FAILED: { summary: 'A database refused a statement of the load file', retry: 'never' },
  LOAD_KEY_MISSING: { summary: 'An item lacks a key attribute, or a table a key', retry: 'never' },
  VERIFY_BEHIND: { summary: 'Two stores did not come to one position in time', retry: 'later' },
  REPLICAS_DIFFER: { summary: 'Replicas do not hold the same items', retry: 'later' },
  DNS_RECORD_FOREIGN: { summary: "The leader's DNS record was changed by hand", retry: 'never' },
  DNS_TARGET_UNKNOWN: { summary: 'A DNS record was to name a target that it may not name', retry: 'never' },
  DNS_THROTTLED: { summary: 'Route 53 takes no more requests for now', retry: 'later' },
  GROUP_NOT_FOUND: { summary: 'No Region tells of the group', retry: 'later' },
  CLOUD_NOT_FOUND: { summary: 'No running embedded cloud was found', retry: 'later' },
  SERVER_NOT_STARTED: { summary: 'A server of the embedded cloud did not start', retry: 'now' },
  PLATFORM_UNSUPPORTED: { summary: 'A bundled server has no build for this platform', retry: 'never' },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * The one class of failure: a code of the registry, what happened, and what to do next.
 * Expected outcomes (fenced, superseded, moved …) are values, not errors.
 */
export class UnderstudyError extends Error {
  override readonly name = 'UnderstudyError';
  readonly code: ErrorCode;
  readonly next: string;

  /** @param next what the reader should do now, as a sentence. */
  constructor(code: ErrorCode, what: string, next: string, options?: ErrorOptions) {
    super(`${code}: ${what}. ${next}`, options);
    this.code = code;
    this.next = next;
  }

  get retry(): Retry {
    return ERRORS[this.code].retry;
  }

  /** Path of the runbook section for this code. */
  get runbook(): string {
    return `docs/RUNBOOK.md#${this.code.toLowerCase()}`;
  }
}

/** True for an UnderstudyError, of the given code if one is given. */
export function isFailure(error: unknown, code?: ErrorCode): error is UnderstudyError {
  return error instanceof UnderstudyError && (code === undefined || error.code === code);
}
