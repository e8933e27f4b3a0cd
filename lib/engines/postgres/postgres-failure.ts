import { type ErrorCode, isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import { literal } from '#lib/engines/postgres/quote.ts';

/** SQLSTATE of an error of the server, if it is one. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** Was a session not let in for its password, or for what stands for one? It may have been rotated, or have expired. */
export function isLoginRefused(error: unknown): boolean {
  // 28000: of IAM's tokens, which PAM judges.
  return isFailure(error, 'POSTGRES_REFUSED') && ['28P01', '28000'].includes(sqlState(error.cause) ?? '');
}

/** Did a statement end for the locks of another session? */
export function isLockWait(error: unknown): boolean {
  return ['55P03', '40P01'].includes(sqlState(error) ?? '');
}

/** Is it what was written that the database refuses, whatever state it is in? Asking again would end the same. */
export function isObjection(error: unknown): boolean {
  const state = sqlState(error);
  const isState = state === undefined || /^(08|25|28|40|42501|53|54|55|57|58|XX)/.test(state);
  return !isState && missingLabel(error) === undefined;
}

/** The enumeration, and the label that it lacks. */
function missingLabel(error: unknown): readonly [type: string, label: string] | undefined {
  const found = /enum (.+): "(.*)"$/.exec(error instanceof Error ? error.message : '');
  return sqlState(error) === '22P02' && found !== null ? [found[1]!, found[2]!] : undefined;
}

/** Names a failure of the server or of the way to it. Keeps what has a name already. */
export function postgresFailure(error: unknown, doing: string): UnderstudyError {
  if (isFailure(error)) return error;
  // A defect is none of the server's.
  if (error instanceof TypeError || error instanceof RangeError) throw error;
  const state = sqlState(error);
  const what = `PostgreSQL did not ${doing}: ${error instanceof Error ? error.message : String(error)}${
    state === undefined ? '' : ` (${state})`
  }`;
  const missing = missingLabel(error);
  if (missing !== undefined) {
    const [type, label] = missing;
    return new UnderstudyError(
      'SCHEMA_DIFFERS',
      what,
      `Run here: ALTER TYPE ${type} ADD VALUE ${literal(label).trim()}; in the leader's order.`,
      { cause: error },
    );
  }
  const [code, next] = diagnose(state, error);
  return new UnderstudyError(code, what, next, { cause: error });
}

function diagnose(state: string | undefined, error: unknown): [ErrorCode, string] {
  const certificate = String((error as { code?: unknown }).code ?? '').match(/CERT|TLS|SSL|SIGN/);
  if (certificate) {
    return [
      'POSTGRES_REFUSED',
      "Give the authority that signed the server's certificate, and the name that is in it.",
    ];
  }
  // The driver's own words; it gives no code.
  if (error instanceof Error && error.message.includes('does not support SSL')) {
    return ['POSTGRES_REFUSED', 'Switch TLS on at the server: no password goes to it otherwise.'];
  }
  if (state === undefined || /^(08|57P)/.test(state)) {
    return ['POSTGRES_UNREACHABLE', 'It is tried again; see whether the server is up and may be reached.'];
  }
  if (/^28/.test(state)) {
    return [
      'POSTGRES_REFUSED',
      'See who the role is, whether it may log in, and whether its password is that of the secret.',
    ];
  }
  if (/^(42501|3D)/.test(state)) {
    return ['POSTGRES_REFUSED', 'Run understudy doctor; it names the statement that gives the right.'];
  }
  if (/^(42P01|42703|42883|3F000)$/.test(state) && /\bunderstudy\b/.test(String(error))) {
    return [
      'POSTGRES_REFUSED',
      'Run understudy prepare at this database: it lacks something that this version keeps there. What it has stays.',
    ];
  }
  if (/^53/.test(state)) {
    return ['POSTGRES_EXHAUSTED', 'Give the server more of it; it is tried again from where it stood.'];
  }
  if (/^(57014|55P03|25P0|40)/.test(state)) {
    return [
      'POSTGRES_BLOCKED',
      'It is tried again: SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid) tells who holds what; pg_terminate_backend(pid) ends that session.',
    ];
  }
  return ['POSTGRES_FAILED', 'It is tried again; if it stays, look at the server log.'];
}
