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
import { latin1Text } from '#lib/engines/dynamodb/short-text.ts';

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
    return latin1Text(this.#bytes, this.#take(), this.#at);
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

function corrupt(why: string): UnderstudyError {
  return new UnderstudyError(
    'SEGMENT_CORRUPT',
    `a record cannot be read: ${why}`,
    'Fetch the segment again from another replica.',
  );
}
