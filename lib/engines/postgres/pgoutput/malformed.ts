import { UnderstudyError } from '#lib/domain/errors.ts';

/** A message that no server would write. */
export function malformed(what: string): UnderstudyError {
  return new UnderstudyError(
    'PGOUTPUT_MALFORMED',
    `a change message of PostgreSQL ${what}`,
    'Look for whatever stands between the server and this process; if there is nothing, report it as a defect.',
  );
}
