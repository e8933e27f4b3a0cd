import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isFailure } from '#lib/domain/errors.ts';
import { noAccess } from '#lib/local/load/load-source.ts';
import { unreadable } from '#lib/local/load/refusals.ts';

/** One line of a file, counted from 1, without its line end and, on the first, without a byte order mark. */
export type RawLine = {
  readonly number: number;
  /** Absent if the line is longer than MAX_LINE_BYTES. */
  readonly bytes: Buffer | undefined;
};

/** Twice what an item of 400 KB takes in the wordiest spelling: each byte escaped, or all values booleans. */
export const MAX_LINE_BYTES = 8 << 20;

const CHUNK_BYTES = 256 << 10;
const NEWLINE = 0x0a;
const GZIP = Buffer.of(0x1f, 0x8b);
const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);

/** What else the first bytes of a file may say that it is. */
const OTHER_FORMATS: readonly (readonly [Buffer, string])[] = [
  [Buffer.from('28b52ffd', 'hex'), 'compressed with zstd'],
  [Buffer.from('504b0304', 'hex'), 'a zip archive'],
  [Buffer.from('fffe', 'hex'), 'UTF-16 text'],
  [Buffer.from('feff', 'hex'), 'UTF-16 text'],
];

/**
 * Streams the lines of a file, plain or gzip by its first bytes, some at a time; memory holds one chunk and one
 * line. Throws LOAD_FILE_UNREADABLE.
 */
export async function* readLines(path: string): AsyncGenerator<readonly RawLine[], void, undefined> {
  const splitter = new LineSplitter();
  const file = await openFile(path);
  let bytes: Readable | undefined;
  try {
    const head = await firstBytes(file);
    const gzipped = startsWith(head, GZIP);
    bytes = decoded(file, gzipped);
    let first = true;
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      if (first) refuseOtherFormats(path, chunk);
      first = false;
      yield splitter.push(chunk);
    }
  } catch (error) {
    if (isFailure(error)) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (!code.startsWith('Z_')) throw noAccess(path, error);
    throw unreadable(
      path,
      `is broken gzip after line ${splitter.lines} (${message})`,
      'Download or compress it again; gzip -t checks it.',
      error,
    );
  } finally {
    bytes?.destroy();
    await file.close();
  }
  yield splitter.end();
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path);
  } catch (error) {
    throw noAccess(path, error);
  }
}

async function firstBytes(file: FileHandle): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.subarray(0, bytesRead);
}

function decoded(file: FileHandle, gzipped: boolean): Readable {
  const stored = file.createReadStream({ start: 0, highWaterMark: CHUNK_BYTES, autoClose: false });
  // A failure of either stream destroys both, and the reader of the last one hears of it.
  return gzipped ? pipeline(stored, createGunzip({ chunkSize: CHUNK_BYTES }), () => {}) : stored;
}

function refuseOtherFormats(path: string, chunk: Buffer): void {
  const other = OTHER_FORMATS.find(([magic]) => startsWith(chunk, magic))?.[1];
  if (other === undefined && !chunk.includes(0)) return;
  throw unreadable(
    path,
    other === undefined ? 'is not text' : `is ${other}`,
    'Give lines of JSON, or for databases of SQL, in UTF-8, plain or compressed with gzip.',
  );
}

class LineSplitter {
  /** Lines so far that were complete. */
  lines = 0;
  #parts: Buffer[] = [];
  #length = 0;

  push(chunk: Buffer): readonly RawLine[] {
    const lines: RawLine[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#add(chunk.subarray(start, end));
      lines.push(this.#take());
      start = end + 1;
    }
    this.#add(chunk.subarray(start));
    return lines;
  }

  /** The last line, if no line end follows it. */
  end(): readonly RawLine[] {
    return this.#length > 0 ? [this.#take()] : [];
  }

  #add(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > MAX_LINE_BYTES) this.#parts = [];
    else if (part.length > 0) this.#parts.push(part);
  }

  #take(): RawLine {
    this.lines += 1;
    const [only = Buffer.alloc(0), ...more] = this.#parts;
    const whole = more.length === 0 ? only : Buffer.concat(this.#parts);
    const bytes = this.#length > MAX_LINE_BYTES ? undefined : this.lines === 1 ? withoutMark(whole) : whole;
    this.#parts = [];
    this.#length = 0;
    return { number: this.lines, bytes };
  }
}

function withoutMark(line: Buffer): Buffer {
  return startsWith(line, BYTE_ORDER_MARK) ? line.subarray(BYTE_ORDER_MARK.length) : line;
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.subarray(0, prefix.length).equals(prefix);
}
