import { crc32c as native } from '@node-rs/crc32';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { crc32c } from '#lib/constructs/portable-crc32.ts';

it('gives the check value of CRC-32C', () => {
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe306_9283);
});

it('agrees with the native build for any bytes, whole or in parts', () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(bytes, bytes, (head, tail) => {
      const whole = new Uint8Array([...head, ...tail]);
      expect(crc32c(whole)).toBe(native(whole));
      expect(crc32c(tail, crc32c(head))).toBe(native(whole));
    }),
  );
});
