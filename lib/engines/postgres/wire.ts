import type { Duplex } from 'node:stream';
import type pg from 'pg';

/** What of a connection of `pg` is used here; it has no types of its own. */
export type Wire = {
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(why: string): void;
  parse(statement: { name: string; text: string; types: readonly number[] }): void;
  bind(portal: { statement: string; values: readonly (Uint8Array | string | null)[] }): void;
  execute(portal: Record<string, never>): void;
  sync(): void;
  on(
    event: 'parameterStatus',
    listen: (status: { parameterName: string; parameterValue: string }) => void,
  ): void;
  readonly stream: Duplex;
};

export function wireOf(client: pg.Client): Wire {
  return (client as unknown as { connection: Wire }).connection;
}

/** The server's process that serves a connection. */
export function processOf(client: pg.Client): number {
  return (client as unknown as { processID: number }).processID;
}

const COPY_DATA = 0x64;
/** A message's kind and its length, which counts itself. */
const HEAD_BYTES = 5;

/**
 * Takes CopyData messages right off the socket of a connection on which nothing is under way; all others go to `pg`, which
 * would make an object of each. https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 * @param onFrames gets runs of whole CopyData messages, as they came; their bytes stay as they are. It must not throw.
 * @returns ends it.
 */
export function tapCopyData({ stream }: Wire, onFrames: (frames: Buffer) => void): () => void {
  const others = stream.listeners('data') as ((bytes: Buffer) => void)[];
  const toOthers = (bytes: Buffer) => {
    for (const listen of others) listen(bytes);
  };
  let isOver = false;
  /** The beginning of a message, and how long it is as far as is known. */
  let pieces: Buffer[] = [];
  let held = 0;
  let wanted = 0;
  const take = (chunk: Buffer) => {
    pieces.push(chunk);
    held += chunk.length;
    if (held < wanted) return;
    const bytes = pieces.length === 1 ? chunk : Buffer.concat(pieces, held);
    let start = 0;
    let at = 0;
    wanted = HEAD_BYTES;
    while (!isOver && at + HEAD_BYTES <= bytes.length) {
      const length = 1 + bytes.readUInt32BE(at + 1);
      wanted = length;
      if (at + length > bytes.length) break;
      wanted = HEAD_BYTES;
      if (bytes[at] !== COPY_DATA) {
        if (at > start) onFrames(bytes.subarray(start, at));
        toOthers(bytes.subarray(at, at + length));
        start = at + length;
      }
      at += length;
    }
    if (isOver) {
      if (at < bytes.length) toOthers(bytes.subarray(at));
      return;
    }
    if (at > start) onFrames(bytes.subarray(start, at));
    pieces = at < bytes.length ? [bytes.subarray(at)] : [];
    held = bytes.length - at;
  };
  for (const listen of others) stream.removeListener('data', listen);
  stream.on('data', take);
  return () => {
    if (isOver) return;
    isOver = true;
    stream.removeListener('data', take);
    for (const listen of others) stream.on('data', listen);
  };
}

/** Where the payload of each of some CopyData messages lies. */
export function forEachCopyData(
  frames: Buffer,
  visit: (bytes: Buffer, start: number, end: number) => void,
): void {
  for (let at = 0; at < frames.length; ) {
    const end = at + 1 + frames.readUInt32BE(at + 1);
    visit(frames, at + HEAD_BYTES, end);
    at = end;
  }
}
