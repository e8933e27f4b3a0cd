import { isDeepStrictEqual } from 'node:util';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';

/*
 * Items in bytes. DynamoDB hands its changes over already parsed, so there are no native bytes to pass through;
 * this is the compact form in which they travel. A value is a tag and a payload; lengths are varints; text is
 * one byte a character where it is ASCII and UTF-8 where not; numbers are their decimal text; binary is raw.
 * Attribute names at the top level come from a dictionary that the segment carries once.
 */
const ASCII = 1;
const UTF8 = 2;
const NUMBER = 3;
const BINARY = 4;
const FALSE = 5;
const TRUE = 6;
const NULL = 7;
const STRING_SET = 8;
const NUMBER_SET = 9;
const BINARY_SET = 10;
const LIST = 11;
const MAP = 12;
/** In a before-image: the attribute was not there. */
const ABSENT = 13;

/** Names in the dictionary; further ones are written out where they stand. */
const MAX_NAMES = 4096;
/** DynamoDB nests 32 deep. */
const MAX_DEPTH = 40;

/** Writes items into one growing buffer. The views that it returns hold until `rewind`. */
export class ItemEncoder {
  #bytes: Buffer = Buffer.allocUnsafe(64 << 10);
  #at = 0;
  readonly #names = new Map<string, number>();

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

  /** A whole item, without the reserved attribute. */
  item(item: Item): Uint8Array {
    const start = this.#at;
    for (const name in item) {
      if (name === STAMP_ATTRIBUTE) continue;
      this.#name(name);
      this.#value(item[name]!, 0);
    }
    return this.#bytes.subarray(start, this.#at);
  }

  /** What `before` had other than `after`. */
  difference(before: Item, after: Item): Uint8Array {
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
    return this.#bytes.subarray(start, this.#at);
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

/** Reads items of one segment back. Binary values come out as bytes, as the SDK wants them. */
export class ItemDecoder {
  readonly #names: readonly string[];
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @param schema the segment's dictionary. Throws SEGMENT_CORRUPT, as all methods do. */
  constructor(schema: Uint8Array) {
    this.#begin(schema);
    const count = this.#varint();
    if (count > MAX_NAMES) throw corrupt('its dictionary is too long');
    const names: string[] = [];
    for (let i = 0; i < count; i++) names.push(this.#text());
    this.#names = names;
  }

  key(bytes: Uint8Array, schema: KeySchema): Item {
    this.#begin(bytes);
    const key: Record<string, AttributeValue> = {};
    for (const { name } of schema) put(key, name, this.#value(this.#byte(), 0));
    if (this.#at !== bytes.length) throw corrupt('a key has too many attributes');
    return key;
  }

  item(bytes: Uint8Array): Item {
    this.#begin(bytes);
    const item: Record<string, AttributeValue> = {};
    while (this.#at < bytes.length) put(item, this.#name(), this.#value(this.#byte(), 0));
    return item;
  }

  /** The item before a change: `after` with the difference taken back; a whole image where there is no `after`. */
  before(difference: Uint8Array, after: Item | undefined): Item {
    this.#begin(difference);
    const item: Record<string, AttributeValue> = { ...after };
    while (this.#at < difference.length) {
      const name = this.#name();
      const tag = this.#byte();
      if (tag === ABSENT) delete item[name];
      else put(item, name, this.#value(tag, 0));
    }
    return item;
  }

  #begin(bytes: Uint8Array): void {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
  }

  #name(): string {
    const number = this.#varint();
    if (number === 0) return this.#text();
    const name = this.#names[number - 1];
    if (name === undefined) throw corrupt('an attribute name is not in its dictionary');
    return name;
  }

  #value(tag: number, depth: number): AttributeValue {
    if (depth > MAX_DEPTH) throw corrupt('a value nests too deep');
    switch (tag) {
      case ASCII:
        return { S: this.#ascii() };
      case UTF8:
        return { S: this.#utf8() };
      case NUMBER:
        return { N: this.#ascii() };
      case BINARY:
        return { B: this.#binary() };
      case FALSE:
        return { BOOL: false };
      case TRUE:
        return { BOOL: true };
      case NULL:
        return { NULL: true };
      case STRING_SET:
        return { SS: this.#list(() => this.#text()) };
      case NUMBER_SET:
        return { NS: this.#list(() => this.#expect(NUMBER).#ascii()) };
      case BINARY_SET:
        return { BS: this.#list(() => this.#expect(BINARY).#binary()) };
      case LIST:
        return { L: this.#list(() => this.#value(this.#byte(), depth + 1)) };
      case MAP: {
        const map: Record<string, AttributeValue> = {};
        for (let left = this.#varint(); left > 0; left--) {
          const name = this.#text();
          put(map, name, this.#value(this.#byte(), depth + 1));
        }
        return { M: map };
      }
      default:
        throw corrupt(`a value has the unknown type ${tag}`);
    }
  }

  #list<T>(each: () => T): T[] {
    const list: T[] = [];
    for (let left = this.#varint(); left > 0; left--) list.push(each());
    return list;
  }

  #expect(tag: number): this {
    if (this.#byte() !== tag) throw corrupt('a set holds a value of another type');
    return this;
  }

  #text(): string {
    const tag = this.#byte();
    if (tag === ASCII) return this.#ascii();
    if (tag === UTF8) return this.#utf8();
    throw corrupt('text is expected where there is none');
  }

  #ascii(): string {
    return this.#bytes.toString('latin1', this.#take(), this.#at);
  }

  #utf8(): string {
    return this.#bytes.toString('utf8', this.#take(), this.#at);
  }

  #binary(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(this.#take(), this.#at));
  }

  /** Passes over a length and as many bytes; returns where they begin. */
  #take(): number {
    const length = this.#varint();
    const start = this.#at;
    if (length > this.#bytes.length - start) throw corrupt('a value is longer than its record');
    this.#at += length;
    return start;
  }

  #byte(): number {
    if (this.#at >= this.#bytes.length) throw corrupt('a record ends too soon');
    return this.#bytes[this.#at++]!;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw corrupt('a length is out of range');
  }
}

/** Assigns an attribute of any name; plain assignment to `__proto__` would be lost. */
function put(item: Record<string, AttributeValue>, name: string, value: AttributeValue): void {
  if (name !== '__proto__') item[name] = value;
  else Object.defineProperty(item, name, { value, enumerable: true, writable: true, configurable: true });
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

function corrupt(why: string): UnderstudyError {
  return new UnderstudyError(
    'SEGMENT_CORRUPT',
    `a record cannot be read: ${why}`,
    'Fetch the segment again from another replica.',
  );
}
