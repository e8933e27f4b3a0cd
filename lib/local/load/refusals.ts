import { type ErrorCode, UnderstudyError } from '#lib/domain/errors.ts';

const CORRECT = 'Correct the line.';

/** A place or name in a message is cut here: both may come out of a hostile file. */
const MAX_SHOWN = 160;

/** The error for one line. `place` is e.g. `line 3, attribute a.b[0]`. */
export function malformed(
  place: string,
  what: string,
  next = CORRECT,
  code: ErrorCode = 'LOAD_LINE_MALFORMED',
): UnderstudyError {
  return new UnderstudyError(code, `${shown(place)}: ${what}`, next);
}

/** The error for the file as a whole. */
export function unreadable(path: string, what: string, next: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('LOAD_FILE_UNREADABLE', `${path} ${what}`, next, { cause });
}

/** What the message of an error says between its code and what to do next. */
export function whatOf({ message, code, next }: UnderstudyError): string {
  return message.slice(`${code}: `.length, -`. ${next}`.length);
}

export function shown(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
