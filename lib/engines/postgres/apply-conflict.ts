import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Lsn } from '#lib/domain/lsn.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { literal, quote, tableName } from '#lib/engines/postgres/quote.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';

/** A change of the log. */
export type ChangeAt = { readonly target: TargetTable; readonly lsn: Lsn };

/** What an error of the server says beside its message. */
type Objection = {
  readonly message: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly constraint?: string;
};

/**
 * A change that a follower's database does not take: APPLY_CONFLICT where the row is not what it was at the leader before,
 * APPLY_REFUSED where something that only the follower has is in the way.
 *
 * @param cause the server's error; none where the row is not there.
 */
export function applyConflict(at: ChangeAt, cause?: unknown): UnderstudyError {
  const state = sqlState(cause);
  const objection = cause as Objection | undefined;
  const what = (why: string) =>
    `the change of table ${at.target.name} at LSN ${at.lsn} can't be applied: ${why}`;
  const own = state === undefined ? undefined : inTheWay(at, state, objection!);
  if (own !== undefined) {
    const routine = /^PL\/pgSQL function .*$/m.exec(objection!.where ?? '');
    const why = `${objection!.message} (${state}${routine ? `, ${routine[0]}` : ''})`;
    return new UnderstudyError('APPLY_REFUSED', what(why), own, { cause });
  }
  return new UnderstudyError(
    'APPLY_CONFLICT',
    what(objection?.message ?? 'the row is not there'),
    `Look at it with understudy log cat ${at.lsn}, and make the row here what it was at the leader before.`,
    { cause },
  );
}

/** A commit that a follower's database does not take: constraints that are checked at the end of transactions. */
export function commitConflict(upTo: Lsn, cause: unknown): UnderstudyError {
  const { schema = '', table = '', constraint = '', message } = cause as Objection;
  const sql = `${quote(schema)}.${quote(table)}`;
  return new UnderstudyError(
    'APPLY_CONFLICT',
    `the transactions up to LSN ${upTo} can't be applied: ${message}`,
    `Make the rows that ${sql} refers to, or is referred to by, what they are at the leader: understudy verify names them. If it is a constraint that the leader has not: ALTER TABLE ${sql} DROP CONSTRAINT ${quote(constraint)};`,
    { cause },
  );
}

/** What to do about something that only the follower has; undefined where it is the row that does not fit. */
function inTheWay({ target, lsn }: ChangeAt, state: string, objection: Objection): string | undefined {
  const { schema = '', table: name = '', constraint } = objection;
  if (state === '23503' && constraint !== undefined && tableName({ schema, name }) !== target.name) {
    const referring = `${quote(schema)}.${quote(name)}`;
    return `Rows of ${referring} here refer to the row (understudy log cat ${lsn}): change them, or run here: ALTER TABLE ${referring} DROP CONSTRAINT ${quote(constraint)};`;
  }
  if (state.startsWith('23')) return undefined;
  // TRUNCATE, and somebody refers to the table.
  if (state === '0A000') {
    return `Empty here whatever refers to ${target.sql}, and drop its foreign key: SELECT conrelid::regclass, conname FROM pg_constraint WHERE confrelid = ${literal(target.sql)}::regclass;`;
  }
  const { triggers } = target;
  if (triggers.length === 0) return `Mend what ${target.sql} does by itself here: rules, defaults, types.`;
  return `Mend what ${target.sql} does by itself here, or switch it off: ${triggers.map((trigger) => `ALTER TABLE ${target.sql} DISABLE TRIGGER ${quote(trigger)};`).join(' ')}`;
}
