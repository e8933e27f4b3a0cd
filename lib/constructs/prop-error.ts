import { UnderstudyError } from '#lib/domain/errors.ts';

/** A failure of a prop of `ReplicationGroup`: its name, what is wrong with it, and what to do. */
export function invalidProp(prop: string, what: string, next: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', `${prop}: ${what}`, next);
}
