import { userInfo } from 'node:os';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** Who gives a command, for the record: as they say, or by their account on this machine. */
export function operatorOf(by: string | undefined): string {
  if (by !== undefined && by.trim() !== '') return by.trim();
  try {
    return userInfo().username;
  } catch {
    // An account without a name, as containers have.
    return 'operator';
  }
}

/** The reason that was given. Throws CONFIG_INVALID without one. */
export function reasonOf(reason: string | undefined, command: string): string {
  if (reason !== undefined && reason.trim() !== '') return reason.trim();
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${command} needs a reason, which is kept`,
    `Say why: understudy ${command} --reason "WHY".`,
  );
}
