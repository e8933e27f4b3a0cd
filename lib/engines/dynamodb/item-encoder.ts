import { isDeepStrictEqual } from 'node:util';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import {
  ABSENT,
  ASCII,
  BINARY,
  BINARY_SET,
  FALSE,
  LIST,
  MAP,
  MAX_DEPTH,
  MAX_NAMES,
  NULL,
  NUMBER,
  NUMBER_SET,
  STRING_SET,
  TRUE,
  UTF8,
} from '#lib/engines/dynamodb/item-format.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';

/** Writes items into one growing buffer. The views that it returns hold until `rewind`. */
export class ItemEncoder {
  #bytes: Buffer = Buffer.allocUnsafe(64 << 10);
  #at = 0;
  readonly #names = new Map<string, number>();

  /** All that was written since `rewind`. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Gives the space of all views back; the dictionary stays. */
  rewind(): void {
    this.#at = 0;
  }

  /** The dictionary, in the order of its numbers: the segment's schema. */
  schema(): Uint8Array {
    const start = this.#at;
    this.#varint(this.#names.size);
    for (const name of this.#names.keys()) this.#text(name);
    const bytes = Buffer.from(this.#bytes.subarray(start, this.#at));
    this.#at = start;
    return bytes;
  }

  /** The key attributes in the order of the schema: equal keys give equal bytes. */
  key(key: Item, schema: KeySchema): Uint8Array {
    const start = this.#at;
    for (const { name, type } of schema) {
      const value = key[name];
      if (value === undefined || !(type in value)) {
        throw new UnderstudyError(
          'CAPTURE_RECORD_REJECTED',
          `the key has no attribute ${name} of type ${type}`,
          'Compare the key schema in the configuration with the table.',
        );
      }
      this.#value(value, 0);
    }
    return this.#bytes.subarray(start, this.#at);
  }

  /** A whole item, without the reserved attribute. Returns its size, bytes. */
  item(item: Item): number {
    const start = this.#at;
    for (const name in item) {
      if (name === STAMP_ATTRIBUTE) continue;
      this.#name(name);
      this.#value(item[name]!, 0);
    }
    return this.#at - start;
  }

  /** What `before` had other than `after`. Returns its size, bytes. */
  difference(before: Item, after: Item): number {
    const start = this.#at;
    for (const name in before) {
      if (name === STAMP_ATTRIBUTE) continue;
      const value = before[name]!;
      if (isSame(value, after[name])) continue;
      this.#name(name);
      this.#value(value, 0);
    }
    for (const name in after) {
      if (name === STAMP_ATTRIBUTE || Object.hasOwn(before, name)) continue;
      this.#name(name);
      this.#byte(ABSENT);
    }
    return this.#at - start;
  }

  #name(name: string): void {
    let number = this.#names.get(name);
    if (number === undefined && this.#names.size < MAX_NAMES) {
      number = this.#names.size + 1;
      this.#names.set(name, number);
    }
    this.#varint(number ?? 0);
    if (number === undefined) this.#text(name);
  }

  #value(value: AttributeValue, depth: number): void {
    if (depth > MAX_DEPTH) throw malformedValue('it nests too deep');
    if ('S' in value) this.#text(value.S);
    else if ('N' in value) this.#number(value.N);
    else if ('BOOL' in value) this.#byte(value.BOOL ? TRUE : FALSE);
    else if ('M' in value) {
      const names = Object.keys(value.M);
      this.#byte(MAP);
      this.#varint(names.length);
      for (const name of names) {
        this.#text(name);
        this.#value(value.M[name]!, depth + 1);
      }
    } else if ('L' in value) {
      this.#byte(LIST);
      this.#varint(value.L.length);
      for (const each of value.L) this.#value(each, depth + 1);
    } else if ('NULL' in value) this.#byte(NULL);
    else if ('B' in value) this.#binary(value.B);
    else if ('SS' in value) {
      this.#byte(STRING_SET);
      this.#varint(value.SS.length);
      for (const each of value.SS) this.#text(each);
    } else if ('NS' in value) {
      this.#byte(NUMBER_SET);
      this.#varint(value.NS.length);
      for (const each of value.NS) this.#number(each);
    } else if ('BS' in value) {
      this.#byte(BINARY_SET);
      this.#varint(value.BS.length);
      for (const each of value.BS) this.#binary(each);
    } else throw malformedValue('its type is not one of DynamoDB');
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = byte;
  }

  #varint(value: number): void {
    this.#reserve(5);
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  #text(text: string): void {
    if (typeof text !== 'string') throw malformedValue('a string is missing');
    const length = text.length;
    this.#reserve(length * 3 + 6);
    const start = this.#at;
    const bytes = this.#bytes;
    if (length < 64) {
      // Short text, the usual case: a loop beats a call into the runtime.
      bytes[start] = ASCII;
      bytes[start + 1] = length;
      let at = start + 2;
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 127) break;
        bytes[at++] = code;
      }
      if (i === length) {
        this.#at = at;
        return;
      }
    }
    const size = Buffer.byteLength(text);
    this.#at = start;
    this.#byte(size === length ? ASCII : UTF8);
    this.#varint(size);
    this.#at += bytes.write(text, this.#at, 'utf8');
    if (!text.isWellFormed()) throw malformedValue('a string is not valid Unicode');
  }

  #number(text: string): void {
    if (typeof text !== 'string' || text.length === 0 || text.length > 200) {
      throw malformedValue('a number is not decimal text');
    }
    this.#reserve(text.length + 3);
    this.#bytes[this.#at++] = NUMBER;
    this.#varint(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) throw malformedValue('a number is not decimal text');
      this.#bytes[this.#at++] = code;
    }
  }

  #binary(value: Uint8Array | string): void {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : value;
    this.#reserve(bytes.length + 6);
    this.#bytes[this.#at++] = BINARY;
    this.#varint(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    // Views handed out before keep the old buffer, whose bytes do not change any more.
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + size));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

function isSame(a: AttributeValue, b: AttributeValue | undefined): boolean {
  if (b === undefined) return false;
  if ('S' in a) return 'S' in b && a.S === b.S;
  if ('N' in a) return 'N' in b && a.N === b.N;
  if ('BOOL' in a) return 'BOOL' in b && a.BOOL === b.BOOL;
  return isDeepStrictEqual(a, b);
}

function malformedValue(why: string): UnderstudyError {
  return new UnderstudyError(
    'CAPTURE_RECORD_REJECTED',
    `a value cannot be logged: ${why}`,
    'Look at the record in the failure queue, mend the item, and write it again.',
  );
}
