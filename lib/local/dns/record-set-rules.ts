import { isIPv4, isIPv6 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { RecordChange, RecordSet } from '#lib/local/dns/zone.ts';

/** Why Route 53 refuses a change of a zone that holds `current` in its place; undefined if it does not. */
export function refusalOf(
  { action, set }: RecordChange,
  current: RecordSet | undefined,
  apex: string,
): string | undefined {
  const tried = `Tried to ${action.toLowerCase()} resource record set [name='${set.name}.', type='${set.type}']`;
  if (action === 'DELETE') {
    if (current === undefined) return `${tried} but it was not found`;
    return isDeepStrictEqual(plain(current), plain(set))
      ? undefined
      : `${tried} but the values provided do not match the current values`;
  }
  if (set.name !== apex && !set.name.endsWith(`.${apex}`)) {
    return `RRSet with DNS name ${set.name}. is not permitted in zone ${apex}.`;
  }
  if (action === 'CREATE' && current !== undefined) return `${tried} but it already exists`;
  if (set.values.length === 0 || (set.type === 'CNAME' && set.values.length > 1)) {
    return `Invalid Resource Record: wrong number of values of ${set.name}. ${set.type}`;
  }
  const bad = set.values.find((value) => !isValue(set.type, value));
  return bad === undefined ? undefined : `Invalid Resource Record: ${bad} is not a value of type ${set.type}`;
}

/** Which sets of a zone cannot be there together. */
export function conflicts(sets: readonly RecordSet[], apex: string): readonly string[] {
  const found: string[] = [];
  for (const [name, group] of Map.groupBy(sets, (set) => set.name)) {
    const types = new Set(group.map(({ type }) => type));
    if (types.has('CNAME') && types.size > 1) {
      const other = [...types].find((type) => type !== 'CNAME');
      found.push(
        `RRSet of type CNAME with DNS name ${name}. is not permitted because a conflicting RRSet of type ${other} with the same DNS name already exists in zone ${apex}.`,
      );
    }
    for (const [type, same] of Map.groupBy(group, (set) => set.type)) {
      const simple = same.some(({ setIdentifier }) => setIdentifier === undefined);
      // Each set has a part of its own: as the primary or the secondary, or by an identifier where all have weights.
      const weighted = same.every(({ weight }) => weight !== undefined);
      const parts = new Set(same.map(({ failover, setIdentifier }) => (weighted ? setIdentifier : failover)));
      if (same.length > 1 && (simple || parts.size < same.length || (!weighted && parts.has(undefined)))) {
        found.push(
          `RRSets of type ${type} with DNS name ${name}. cannot be created: their routing conflicts`,
        );
      }
    }
  }
  return found;
}

function isValue(type: string, value: string): boolean {
  switch (type) {
    case 'A':
      return isIPv4(value);
    case 'AAAA':
      return isIPv6(value);
    case 'TXT':
      return /^"[^"]{0,255}"( "[^"]{0,255}")*$/.test(value);
    case 'CNAME':
      return value !== '' && !/\s/.test(value);
    default:
      return true;
  }
}

/** A set without the fields that are absent, its values in no order. */
function plain(set: RecordSet): unknown {
  return { ...JSON.parse(JSON.stringify(set)), values: set.values.toSorted() };
}
