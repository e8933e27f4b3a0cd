/** Licences that what is shipped may depend on: none asks more than to be named. */
const SHIPPED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
]);
/** And those that tools may have, which are never shipped. */
const TOOLS = new Set([...SHIPPED, 'MPL-2.0']);

/** A package of the lock file, by what its own package.json says where it is installed. */
export type Installed = {
  readonly name: string;
  readonly licence: string | undefined;
  /** Needed by those who work on the project only. */
  readonly dev: boolean;
};

/** Why a package may not be depended on; undefined if it may. */
export function refusalOf({ name, licence, dev }: Installed): string | undefined {
  if (licence === undefined || licence.trim() === '') return `${name} names no licence`;
  if (isAllowed(licence, dev ? TOOLS : SHIPPED)) return undefined;
  return `${name} has the licence ${licence}, which ${dev ? 'no tool may have' : 'nothing that is shipped may have'}`;
}

/** An SPDX expression of licences, AND and OR, without or within one pair of parentheses. Anything else is refused. */
function isAllowed(expression: string, allowed: ReadonlySet<string>): boolean {
  const plain = expression.trim().replace(/^\(([^()]*)\)$/, '$1');
  if (/[()]/.test(plain)) return false;
  return plain.split(/\s+OR\s+/).some((choice) => choice.split(/\s+AND\s+/).every((id) => allowed.has(id)));
}
