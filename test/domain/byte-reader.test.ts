import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteReader } from '#lib/domain/segment/byte-reader.ts';
import { ByteWriter } from '#lib/domain/segment/byte-writer.ts';

test('a varint reads back, and takes no more bytes than it needs', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (first, second) => {
      const out = new ByteWriter();
      out.varint(first);
      out.varint(second);
      const from = new ByteReader(out.view());
      expect([from.varint(), from.varint(), from.left]).toEqual([first, second, 0]);
    }),
  );
});

test.each([
  ['0 in two bytes', [0x80, 0x00]],
  ['1 in three bytes', [0x81, 0x80, 0x00]],
])('%s is refused: a number has one form', (_, bytes) => {
  expect(() => new ByteReader(Uint8Array.from(bytes)).varint()).toThrow('more bytes than it needs');
});
