import { UnderstudyError } from '#lib/domain/errors.ts';

/** What a person has asked for, and what was found out before anything is touched. */
export type Asked = {
  /** Options of the command line. */
  readonly profile: string | undefined;
  readonly account: string | undefined;
  readonly regions: readonly string[];
  readonly yes: boolean;
  readonly id: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The account that the profile's credentials are of. */
  readonly credentialsOf: string;
  /** What bears the run's name already. */
  readonly existing: readonly string[];
};

export type RealPlan = {
  readonly account: string;
  readonly regions: readonly [string, string, string];
  readonly id: string;
  /** Every name begins with one of these or ends with the zone; the run touches nothing else. */
  readonly names: readonly string[];
  readonly goes: boolean;
};

/** A run's own name: the group's. */
export const ID = /^e2e-[0-9a-f]{6}$/;
/** Settings that would send the run elsewhere than the profile says. */
const FOREIGN = ['AWS_ENDPOINT_URL', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];

/** What a run in a real account would make. Throws CONFIG_INVALID where it could touch what it has not made. */
export function planReal(asked: Asked): RealPlan {
  const { account, credentialsOf, env, existing, id, profile, regions } = asked;
  if (profile === undefined) throw refused('no profile is named', 'Name it: --profile NAME.');
  const foreign = FOREIGN.filter((name) => env[name] !== undefined);
  if (foreign.length > 0) {
    throw refused(
      `${foreign.join(', ')} would take the place of the profile`,
      `Unset ${foreign.join(', ')}.`,
    );
  }
  if (account === undefined) {
    throw refused('no account is named', `Name the one that you mean: --account ${credentialsOf}?`);
  }
  if (account !== credentialsOf) {
    throw refused(
      `profile ${profile} is of account ${credentialsOf}, not of ${account}`,
      'Use the other profile, or name the account that you mean.',
    );
  }
  const [first, second, third, ...more] = regions;
  if (first === undefined || second === undefined || third === undefined || more.length > 0) {
    throw refused(`${regions.length} Regions are named`, 'Name three: --regions A,B,C.');
  }
  if (new Set(regions).size < 3) throw refused('a Region is named twice', 'Name three different ones.');
  if (!ID.test(id)) throw refused(`${id} is not the name of a run`, 'Let the run name itself.');
  if (existing.length > 0) {
    throw refused(
      `${existing.length} resources bear the name ${id} already: ${existing.join('; ')}`,
      'Start again: the next run has another name.',
    );
  }
  const names = [`understudy-${id}-`, `${id}.understudy.test`];
  return { account, regions: [first, second, third], id, names, goes: asked.yes };
}

/** Refuses to delete or to change what does not bear the run's name and its tag. */
export function assertOwn(id: string, name: string, tags: Readonly<Record<string, string>>): void {
  if (!ID.test(id) || !name.includes(id)) throw refused(`${name} is not of run ${id}`, 'Leave it alone.');
  if (tags['understudy:e2e'] !== id) {
    throw refused(
      `${name} does not bear the tag understudy:e2e=${id}`,
      'See who has made it; leave it alone.',
    );
  }
}

function refused(what: string, next: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', what, next);
}
