import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { expect } from 'vitest';

export type Element = {
  readonly tag: string;
  readonly at: Readonly<Record<string, string>>;
  readonly children: readonly Element[];
  readonly text: string;
};

const PARSER = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  trimValues: false,
});

/** All elements of a page; the page is well-formed XML, so any parser will do. */
export function elementsOf(html: string): readonly Element[] {
  expect(XMLValidator.validate(html)).toBe(true);
  const all: Element[] = [];
  const visit = (node: Record<string, unknown>): Element => {
    const tag = Object.keys(node).find((key) => key !== ':@')!;
    if (tag === '#text') return { tag, at: {}, children: [], text: String(node[tag]) };
    const children = (node[tag] as Record<string, unknown>[]).map(visit);
    const text = children.map((child) => child.text).join('');
    const element = { tag, at: (node[':@'] ?? {}) as Record<string, string>, children, text };
    all.push(element);
    return element;
  };
  for (const node of PARSER.parse(html) as Record<string, unknown>[]) visit(node);
  return all;
}
