import { styleText } from 'node:util';
import type { Phase } from '#lib/local/drill/report-facts.ts';

const STYLES = {
  before: 'gray',
  fault: ['bold', 'red'],
  request: 'bold',
  detect: 'yellow',
  claim: 'magenta',
  fence: 'magenta',
  elect: 'blue',
  drain: 'blue',
  promote: 'cyan',
  repoint: 'cyan',
  'first-write': ['bold', 'green'],
  heal: 'green',
  reattach: 'yellow',
  end: 'gray',
  heading: 'bold',
  good: 'green',
  bad: 'red',
  faint: 'gray',
} as const satisfies Record<Phase, unknown> & Record<string, unknown>;

/** Colours a text for a terminal, or leaves it as it is. */
export type Paint = (style: keyof typeof STYLES, text: string) => string;

export const plainly: Paint = (_, text) => text;

export const inColour: Paint = (style, text) => {
  const named = STYLES[style];
  return styleText(typeof named === 'string' ? named : [...named], text, { validateStream: false });
};
