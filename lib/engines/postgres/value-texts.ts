import type pg from 'pg';
import { BINARY, NULL, type Tuple, UNCHANGED } from '#lib/engines/postgres/pgoutput/row-change.ts';
import type { Parameter } from '#lib/engines/postgres/pipeline.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';

/** Values of one statement, and rows. */
const MAX_VALUES = 20_000;
const MAX_ROWS = 500;

/** A value as it stands in a message: bytes for its binary form, which stay valid as long as the message's. */
export function valueAt(bytes: Uint8Array, { kinds, starts, ends }: Tuple, column: number): Parameter {
  const kind = kinds[column]!;
  if (kind === NULL || kind === UNCHANGED) return null;
  const value = (bytes as Buffer).subarray(starts[column], ends[column]);
  return kind === BINARY ? value : value.toString('utf8');
}

/**
 * Has a database put values into words, exactly: `rows` have a value for each of `types`, which are names.
 *
 * @param otherwise what stands for a value that it can't read, as the type has changed or is gone; without it, that throws.
 */
export async function valueTexts(
  client: pg.Client,
  types: readonly string[],
  rows: readonly (readonly Parameter[])[],
  otherwise?: (value: Parameter) => string | null,
): Promise<readonly (readonly (string | null)[])[]> {
  if (types.length === 0) return rows.map(() => []);
  const texts: (readonly (string | null)[])[] = [];
  const size = Math.max(1, Math.min(MAX_ROWS, Math.floor(MAX_VALUES / types.length)));
  for (let at = 0; at < rows.length; at += size) {
    const part = rows.slice(at, at + size);
    try {
      texts.push(...(await read(client, types, part)));
    } catch (error) {
      // A data exception, or a type that is not there.
      if (otherwise === undefined || !/^(22|42)/.test(sqlState(error) ?? '')) throw error;
      texts.push(...part.map((row) => row.map(otherwise)));
    }
  }
  return texts;
}

async function read(
  client: pg.Client,
  types: readonly string[],
  rows: readonly (readonly Parameter[])[],
): Promise<readonly (readonly (string | null)[])[]> {
  const columns = types.map((_, index) => `c${index}`);
  const lines = rows.map((row, n) => {
    const values = row.map((_, index) => `$${n * types.length + index + 1}::${types[index]}`);
    return `(${n}, ${values.join(', ')})`;
  });
  const text = `SELECT ${columns.map((name) => `${name}::text`).join(', ')} FROM (VALUES ${lines.join(', ')}) v (n, ${columns.join(', ')}) ORDER BY n`;
  const answer = await client.query<(string | null)[]>({ text, values: rows.flat(), rowMode: 'array' });
  return answer.rows;
}

/** The digits of bytes that nobody can read. */
export function inHex(value: Parameter): string | null {
  return value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : value;
}
