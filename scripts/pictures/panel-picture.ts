import { type Markup, markup } from '#lib/domain/page/markup.ts';
import { MONO_WIDTH, picture } from './canvas.ts';

/** Px, and characters. */
const LINE = 19;
const NAME = 140;
const COLUMNS = { least: 80, most: 136 };

/** Named values, and a document below them: what one types, or what a state shows when it is clicked. */
export function panelPicture(given: {
  readonly title: string;
  readonly about: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly document: readonly [name: string, value: unknown];
}): string {
  const { about, document, fields, title } = given;
  const lines = jsonLines(document[1], '');
  const top = fields.length * (LINE + 4) + 10;
  const columns = Math.max(COLUMNS.least, ...lines.map(({ length }) => length));
  const width = columns * MONO_WIDTH + 24;
  const height = lines.length * LINE + 16;
  const content: readonly Markup[] = [
    ...fields.map(
      ([name, value], index) =>
        markup`<text class="faint" x="0" y="${index * (LINE + 4) + 14}">${name}</text><text x="${NAME}" y="${index * (LINE + 4) + 14}">${value}</text>\n`,
    ),
    markup`<text class="faint" x="0" y="${top + 12}">${document[0]}</text>`,
    markup`<rect class="panel" x="0" y="${top + 22}" width="${width}" height="${height}" rx="5"/>`,
    ...lines.map(
      (line, index) =>
        markup`<text class="mono" xml:space="preserve" x="12" y="${top + 22 + 8 + index * LINE + 14}">${line}</text>\n`,
    ),
  ];
  return picture({ title, about, width, height: top + 22 + height, content: markup`${content}` });
}

/** JSON as one reads it: what fits into a line is on one. */
function jsonLines(value: unknown, indent: string, before = '', after = ''): readonly string[] {
  const line = `${indent}${before}${inOneLine(value)}${after}`;
  if (line.length <= COLUMNS.most || typeof value !== 'object' || value === null) return [line];
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const entries = Object.entries(value);
  return [
    `${indent}${before}${open}`,
    ...entries.flatMap(([key, each], index) =>
      jsonLines(
        each,
        `${indent}  `,
        Array.isArray(value) ? '' : `${JSON.stringify(key)}: `,
        index < entries.length - 1 ? ',' : '',
      ),
    ),
    `${indent}${close}${after}`,
  ];
}

function inOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inOneLine).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${inOneLine(each)}`);
  return `{ ${entries.join(', ')} }`;
}
