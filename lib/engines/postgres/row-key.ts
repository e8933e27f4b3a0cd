import { TEXT, type Tuple } from '#lib/engines/postgres/pgoutput/row-change.ts';

/**
 * The key of a tuple's row as a text that equals another exactly if all key columns have the same bytes, in the same
 * form.
 */
export function keyOf(bytes: Uint8Array, tuple: Tuple, key: readonly number[]): string {
  const buffer = bytes as Buffer;
  const { kinds, starts, ends } = tuple;
  let text = '';
  for (const column of key) {
    const start = starts[column]!;
    const end = ends[column]!;
    text += String.fromCharCode(kinds[column]!, end - start) + buffer.toString('latin1', start, end);
  }
  return text;
}

/** Whether a row is all in binary form, all in text form, or in both: nulls fit with either. */
export type Form = 'binary' | 'text' | 'mixed';

export function formOf({ count, kinds }: Tuple): Form {
  let text = 0;
  let binary = 0;
  for (let column = 0; column < count; column += 1) {
    const kind = kinds[column]!;
    if (kind === TEXT) text += 1;
    else if (kind === 0x62) binary += 1;
  }
  if (text === 0) return 'binary';
  return binary === 0 ? 'text' : 'mixed';
}
