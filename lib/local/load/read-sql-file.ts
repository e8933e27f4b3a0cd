import { type RawLine, readLines } from '#lib/local/load/read-lines.ts';
import { malformed, unreadable } from '#lib/local/load/refusals.ts';
import { SqlSplitter, type SqlStatement } from '#lib/local/load/sql-splitter.ts';

/**
 * A statement of a file of SQL; or a COPY … FROM stdin with some of its rows, `line` being that of the first one: a block that
 * is long comes in several.
 */
export type SqlStep =
  | ({ readonly kind: 'statement' } & SqlStatement)
  | ({ readonly kind: 'rows'; readonly rows: number; readonly data: Buffer } & SqlStatement);

/** Of the rows that are held at a time, and of a statement, bytes. */
const MAX_DATA = 1 << 20;
const MAX_STATEMENT = 64 << 20;

const COPY_IN = /^copy\b[^;]*\bfrom\s+stdin\b/i;
/** As pg_dump writes it: text, without options. */
const PLAIN_COPY_IN = /^copy\s+\S[^;]*\sfrom\s+stdin\s*;$/i;
/** What pg_dump has put around its dumps since 2025, for psql to obey no other command in between. */
const HARMLESS_COMMAND = /^\\(un)?restrict(\s|$)/;
const OTHER_ENCODING = /^set\s+(session\s+|local\s+)?client_encoding\b(?!.*\butf-?8\b)/i;

const AS_DUMPED =
  'Make the file by pg_dump in plain format, with UTF-8 and without --create; --inserts writes no COPY.';

/**
 * Streams a file of SQL, plain or gzip, such as `pg_dump` writes it, statement by statement as psql would send them. Throws
 * LOAD_FILE_UNREADABLE, and LOAD_LINE_MALFORMED with the line that psql alone would understand.
 */
export async function* readSqlFile(path: string): AsyncGenerator<SqlStep, void, undefined> {
  const splitter = new SqlSplitter();
  let block: Rows | undefined;
  let isEmpty = true;
  for await (const lines of readLines(path)) {
    for (const line of lines) {
      const bytes = bytesOf(path, line);
      if (block !== undefined) {
        const ended = block.push(bytes, line.number);
        if (ended || block.isFull) yield block.take();
        if (ended) block = undefined;
        continue;
      }
      const text = bytes.toString('utf8').replace(/\r$/, '');
      const { command, statements } = splitter.push(text, line.number);
      if (command !== undefined && !(splitter.isBetween && HARMLESS_COMMAND.test(command))) {
        const what = `${command.split(/\s/)[0]} is a command of psql, which does not run here`;
        throw malformed(`${path}, line ${line.number}`, what, AS_DUMPED);
      }
      if (splitter.length > MAX_STATEMENT)
        throw malformed(`${path}, line ${splitter.line}`, 'a statement begins that is too long', AS_DUMPED);
      for (const each of statements) {
        isEmpty = false;
        if (OTHER_ENCODING.test(each.sql))
          throw malformed(`${path}, line ${each.line}`, 'the file is not in UTF-8', AS_DUMPED);
        if (COPY_IN.test(each.sql))
          block = rowsOf(path, each, each === statements.at(-1) && splitter.isBetween);
        else yield { kind: 'statement', ...each };
      }
    }
  }
  if (block !== undefined)
    throw malformed(
      `${path}, line ${block.line}`,
      'the rows of a COPY do not end: there is no \\.',
      'Copy the whole file.',
    );
  if (splitter.isOpen)
    throw malformed(
      `${path}, line ${splitter.line}`,
      'a statement begins whose string or comment does not end',
      'Close it.',
    );
  const last = splitter.end();
  if (last !== undefined) yield { kind: 'statement', ...last };
  else if (isEmpty)
    throw unreadable(path, 'holds no statement', 'Give a file of SQL, such as pg_dump writes.');
}

function bytesOf(path: string, { bytes, number }: RawLine): Buffer {
  if (bytes !== undefined) return bytes;
  throw malformed(`${path}, line ${number}`, 'it is longer than 8 MiB', 'Load what is in it otherwise.');
}

function rowsOf(path: string, { line, sql }: SqlStatement, isLast: boolean): Rows {
  if (isLast && PLAIN_COPY_IN.test(sql)) return new Rows(sql, line + sql.split('\n').length);
  const what = isLast
    ? 'COPY has options, and is read as text without any'
    : 'something follows COPY on its line';
  throw malformed(`${path}, line ${line}`, what, AS_DUMPED);
}

/** The rows of a COPY, collected. */
class Rows {
  readonly #sql: string;
  /** Line of the first one that is held. */
  line: number;
  #held: Buffer[] = [];
  #bytes = 0;

  constructor(sql: string, line: number) {
    this.#sql = sql;
    this.line = line;
  }

  get isFull(): boolean {
    return this.#bytes >= MAX_DATA;
  }

  /** Takes a line; true if it is the one that ends them. */
  push(bytes: Buffer, number: number): boolean {
    if (/^\\\.\r?$/.test(bytes.subarray(0, 4).toString('latin1'))) return true;
    if (this.#held.length === 0) this.line = number;
    this.#held.push(bytes);
    this.#bytes += bytes.length + 1;
    return false;
  }

  take(): SqlStep {
    const rows = this.#held.length;
    const data = Buffer.from(this.#held.map((each) => `${each.toString('latin1')}\n`).join(''), 'latin1');
    this.#held = [];
    this.#bytes = 0;
    return { kind: 'rows', line: this.line, sql: this.#sql, rows, data };
  }
}
