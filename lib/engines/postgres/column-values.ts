import { NULL, type Tuple } from '#lib/engines/postgres/pgoutput/row-change.ts';
import type { Parameter } from '#lib/engines/postgres/pipeline.ts';
import type { Form } from '#lib/engines/postgres/row-key.ts';
import { WireBuffer } from '#lib/engines/postgres/wire-buffer.ts';

/** Values of one column of many rows, on their way to be one parameter: an array. */
export interface ColumnValues {
  put(bytes: Uint8Array, tuple: Tuple, column: number): void;
  end(): Parameter;
}

export function columnValues(form: Form, type: number, rows: number): ColumnValues {
  return form === 'text' ? new TextArray() : new BinaryArray(type, rows);
}

/** Dimensions, whether there are nulls, type of the elements, length, lower bound; then each with its length. */
class BinaryArray implements ColumnValues {
  readonly #out = new WireBuffer(4096);
  #hasNull = false;

  constructor(type: number, rows: number) {
    this.#out.u32(1);
    this.#out.u32(0);
    this.#out.u32(type);
    this.#out.u32(rows);
    this.#out.u32(1);
  }

  put(bytes: Uint8Array, { kinds, starts, ends }: Tuple, column: number): void {
    if (kinds[column] === NULL) {
      this.#hasNull = true;
      this.#out.u32(0xffff_ffff);
    } else this.#out.raw(bytes, starts[column]! - 4, ends[column]!);
  }

  end(): Parameter {
    const array = this.#out.view();
    array[7] = this.#hasNull ? 1 : 0;
    return array;
  }
}

class TextArray implements ColumnValues {
  readonly #values: string[] = [];

  put(bytes: Uint8Array, { kinds, starts, ends }: Tuple, column: number): void {
    if (kinds[column] === NULL) {
      this.#values.push('NULL');
      return;
    }
    const text = (bytes as Buffer).toString('utf8', starts[column], ends[column]);
    this.#values.push(`"${text.replace(/["\\]/g, '\\$&')}"`);
  }

  end(): Parameter {
    return `{${this.#values.join(',')}}`;
  }
}
