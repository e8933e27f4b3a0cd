import { expect, test } from 'vitest';
import { spellingsOf } from './spellings.ts';

const SECRET = '0a1b2c3d4e5f6a7b8c';

test.each(['', 'a', 'ab', 'abc', 'abcd'])(
  'a text is found in base64 after %j and before anything',
  (before) => {
    for (const after of ['', '}', '"}', '"}]']) {
      const encoded = Buffer.from(`${before}${SECRET}${after}`).toString('base64');
      expect(spellingsOf(SECRET).some((spelling) => encoded.includes(spelling))).toBe(true);
    }
  },
);

test('another text of the same length is not taken for it', () => {
  const other = Buffer.from(`abc${SECRET.slice(0, -1)}d`).toString('base64');
  expect(spellingsOf(SECRET).filter((spelling) => other.includes(spelling))).toEqual([]);
});
