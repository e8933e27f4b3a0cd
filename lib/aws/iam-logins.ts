import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Login, Logins } from '#lib/ports/logins.ts';
import type { Clock } from '#lib/ports/telemetry.ts';

/** RDS takes a token for 15 minutes; it is asked for when a session begins, and never after. */
const USED_MS = 10 * 60_000;

/** IAM's tokens for a database of RDS: signed here, by the credentials of the function's role, without a call. */
export class IamLogins implements Logins {
  readonly #sign: () => Promise<string>;
  readonly #clock: Clock;
  #known: { readonly login: Login; readonly untilMs: number } | undefined;

  /** @param sign makes a token, as `Signer` of `@aws-sdk/rds-signer` does. */
  constructor(sign: () => Promise<string>, clock: Clock) {
    this.#sign = sign;
    this.#clock = clock;
  }

  async current(refused?: Login): Promise<Login> {
    const now = this.#clock.now();
    if (this.#known === undefined || this.#known.untilMs <= now || this.#known.login === refused) {
      this.#known = { login: { password: await this.#token() }, untilMs: now + USED_MS };
    }
    return this.#known.login;
  }

  async #token(): Promise<string> {
    try {
      return await this.#sign();
    } catch (cause) {
      throw new UnderstudyError(
        'LOGIN_UNREADABLE',
        'no token could be signed for the database',
        'See whether the function has credentials of its role.',
        { cause },
      );
    }
  }
}
