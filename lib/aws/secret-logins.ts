import { GetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Login, Logins } from '#lib/ports/logins.ts';

/** As RDS writes it; what else is in it is not looked at. */
const secretValue = z.object({ username: z.string().min(1).exactOptional(), password: z.string().min(1) });

/**
 * The login that a secret of AWS Secrets Manager holds: JSON with `password`, and `username` if it is to replace that
 * of the database's address. Read when first needed, and again whenever the server refuses it: it was rotated.
 */
export class SecretLogins implements Logins {
  readonly #client: SecretsManagerClient;
  readonly #id: string;
  #known: Promise<Login> | undefined;
  #login: Login | undefined;

  /** @param id its name or ARN. */
  constructor(client: SecretsManagerClient, id: string) {
    this.#client = client;
    this.#id = id;
  }

  current(refused?: Login): Promise<Login> {
    // Many sessions may be refused the same login at once: it is asked for once.
    if (refused !== undefined && refused === this.#login) this.#forget();
    this.#known ??= this.#read().catch((error) => {
      this.#forget();
      throw error;
    });
    return this.#known;
  }

  #forget(): void {
    this.#known = undefined;
    this.#login = undefined;
  }

  async #read(): Promise<Login> {
    const { SecretString = '' } = await this.#client
      .send(new GetSecretValueCommand({ SecretId: this.#id }))
      .catch((cause) => {
        throw this.#unreadable(`Secrets Manager answered ${String((cause as Error).name)}`, cause);
      });
    const parsed = secretValue.safeParse(jsonOf(SecretString));
    // What it holds, and what a parser says of it, goes nowhere.
    if (!parsed.success) throw this.#unreadable('it is not JSON with a password');
    this.#login =
      parsed.data.username === undefined
        ? { password: parsed.data.password }
        : { user: parsed.data.username, password: parsed.data.password };
    return this.#login;
  }

  #unreadable(why: string, cause?: unknown): UnderstudyError {
    return new UnderstudyError(
      'LOGIN_UNREADABLE',
      `the secret ${this.#id} gives no login for the database: ${why}`,
      'See that it is there, that the function may read it, and that it is JSON as RDS writes it: {"username": …, "password": …}.',
      { cause },
    );
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
