/** Stands in for a number, which JSON.parse would round to a double. Its one key is in no JSON. */
type NumberToken = { readonly [NUMBER]: string };
const NUMBER = Symbol('number');

export type JsonObject = { readonly [name: string]: unknown };

type Reviver = (name: string, value: unknown, context: { readonly source?: string }) => unknown;
const parse = JSON.parse as (text: string, reviver?: Reviver) => unknown;

/** JSON.parse whose numbers are the very text of the source, as tokens. Throws SyntaxError; RangeError if too deep. */
export function parseExact(text: string): unknown {
  return parse(text, (_name, value, { source }) =>
    typeof value === 'number' ? { [NUMBER]: source } : value,
  );
}

/** The digits of a number that `parseExact` has read. */
export function numberText(value: unknown): string | undefined {
  return isToken(value) ? value[NUMBER] : undefined;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isToken(value);
}

function isToken(value: unknown): value is NumberToken {
  return typeof value === 'object' && value !== null && NUMBER in value;
}

/** Maps the members of an object, `__proto__` like any other. */
export function mapMembers<T>(
  object: JsonObject,
  map: (value: unknown, name: string) => T,
): { [name: string]: T } {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]));
}
