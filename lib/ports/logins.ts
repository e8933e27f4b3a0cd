/** What lets a session into a database. `user`: in place of the one that its address names. */
export type Login = { readonly user?: string; readonly password: string };

/** Who knows how to be let into one database. Nothing of it is kept anywhere but in memory. */
export interface Logins {
  /**
   * The login as it is known; a fresh one in place of `refused`, which the server has just turned away.
   * Throws LOGIN_UNREADABLE.
   */
  current(refused?: Login): Promise<Login>;
}
