import type { Answer, Question, StringRecordType } from 'dns-packet';
import type { RecordSet, Zone } from '#lib/local/dns/zone.ts';

const MAX_ALIASES = 8;

export type Resolution = {
  readonly rcode: 'NOERROR' | 'NXDOMAIN' | 'REFUSED';
  readonly answers: readonly Answer[];
  /** The zone's SOA where there is no answer. */
  readonly authorities: readonly Answer[];
};

/** What chooses among several sets of a name and type. `random`: in [0, 1). */
export type Chooser = {
  readonly isHealthy: (healthCheckId: string) => boolean;
  readonly random: () => number;
};

/**
 * What an authoritative server of the zone answers (RFC 1034, 4.3.2), following aliases inside of the zone. Of a
 * failover pair it answers with the primary, or with the secondary while that alone is healthy; of weighted sets with
 * a healthy one, or with any if none is: there is always an answer.
 */
export function resolve(
  { apex, served }: Pick<Zone, 'apex' | 'served'>,
  question: Question,
  chooser: Chooser,
): Resolution {
  const answers: Answer[] = [];
  let name = question.name.toLowerCase();
  if (!isWithin(name, apex)) return { rcode: 'REFUSED', answers, authorities: [] };
  // Owner names are answered in the spelling of the question.
  let owner = question.name;
  for (let aliases = 0; aliases < MAX_ALIASES; aliases++) {
    const here = served.filter((set) => set.name === name);
    const found = chosen(
      here.filter(({ type }) => type === question.type),
      chooser,
    );
    if (found !== undefined) {
      answers.push(...found.values.map((value) => answerOf(owner, found, value)));
      return { rcode: 'NOERROR', answers, authorities: [] };
    }
    const alias = chosen(
      here.filter(({ type }) => type === 'CNAME'),
      chooser,
    );
    if (alias === undefined) {
      const exists = served.some((set) => isWithin(set.name, name));
      return { rcode: exists ? 'NOERROR' : 'NXDOMAIN', answers, authorities: soaOf(apex, served) };
    }
    answers.push(answerOf(owner, alias, alias.values[0]!));
    owner = dotless(alias.values[0]!);
    name = owner.toLowerCase();
    if (!isWithin(name, apex)) break;
  }
  return { rcode: 'NOERROR', answers, authorities: [] };
}

function chosen(sets: readonly RecordSet[], { isHealthy, random }: Chooser): RecordSet | undefined {
  const up = ({ healthCheckId }: RecordSet) => healthCheckId === undefined || isHealthy(healthCheckId);
  const healthy = sets.filter(up);
  const [first, ...others] = (healthy.length > 0 ? healthy : sets).toSorted((a, b) =>
    (a.failover ?? '').localeCompare(b.failover ?? ''),
  );
  if (first?.weight === undefined) return first;
  // Sets of no weight are the answer only where there are no others.
  const weighted = [first, ...others].filter(({ weight }) => weight !== 0);
  const among = weighted.length > 0 ? weighted : [first, ...others];
  const parts = among.flatMap((set) => Array.from({ length: set.weight || 1 }, () => set));
  return parts[Math.floor(random() * parts.length)];
}

function soaOf(apex: string, served: readonly RecordSet[]): readonly Answer[] {
  const soa = served.find(({ name, type }) => name === apex && type === 'SOA');
  return soa === undefined ? [] : [answerOf(apex, { ...soa, ttl: 60 }, soa.values[0]!)];
}

function answerOf(name: string, { type, ttl }: RecordSet, value: string): Answer {
  switch (type) {
    case 'TXT':
      return { name, type, ttl, data: [...value.matchAll(/"([^"]*)"/g)].map(([, text]) => text!) };
    case 'SOA': {
      const [mname = '', rname = '', serial, refresh, retry, expire, minimum] = value.split(' ');
      const numbers = { serial, refresh, retry, expire, minimum };
      const data = Object.fromEntries(Object.entries(numbers).map(([field, text]) => [field, Number(text)]));
      return { name, type, ttl, data: { mname: dotless(mname), rname: dotless(rname), ...data } };
    }
    default:
      return { name, type: type as StringRecordType, ttl, data: dotless(value) };
  }
}

function isWithin(name: string, parent: string): boolean {
  return name === parent || name.endsWith(`.${parent}`);
}

function dotless(name: string): string {
  return name.replace(/\.$/, '');
}
