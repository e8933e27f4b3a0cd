import { expect, it } from 'vitest';
import { refusalOf } from '../../scripts/licences.ts';

const refusal = (licence: string | undefined, dev = false) => refusalOf({ name: 'p', licence, dev });

it.each(['MIT', '(MIT OR GPL-3.0-or-later)', 'MIT OR Apache-2.0', 'MIT AND ISC'])(
  'lets %s be shipped',
  (licence) => {
    expect(refusal(licence)).toBeUndefined();
  },
);

it.each([
  'GPL-3.0-only',
  'MIT AND GPL-3.0-only',
  'MPL-2.0',
  '(MIT OR X) AND GPL-3.0-only',
  'SEE LICENSE IN LICENSE',
])('lets nothing be shipped under %s', (licence) => {
  expect(refusal(licence)).toContain(licence);
});

it('lets a tool have what is not shipped, and nothing have no licence at all', () => {
  expect(refusal('MPL-2.0', true)).toBeUndefined();
  expect(refusal('GPL-3.0-only', true)).toContain('no tool');
  expect(refusal(undefined)).toContain('names no licence');
});
