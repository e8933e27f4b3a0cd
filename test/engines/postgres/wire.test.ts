import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { forEachCopyData, tapCopyData, type Wire } from '#lib/engines/postgres/wire.ts';

function message(kind: string, payload: string): Buffer {
  const head = Buffer.alloc(5);
  head.write(kind, 'latin1');
  head.writeUInt32BE(payload.length + 4, 1);
  return Buffer.concat([head, Buffer.from(payload, 'latin1')]);
}

/** A connection whose bytes the test sends, and what each side got of them, in order. */
function tapped() {
  const stream = new PassThrough();
  const got: string[] = [];
  const listen = (bytes: Buffer) => got.push(`pg ${bytes.toString('latin1')}`);
  stream.on('data', listen);
  const untap = tapCopyData({ stream } as unknown as Wire, (frames) => {
    forEachCopyData(frames, (bytes, start, end) => got.push(bytes.toString('latin1', start, end)));
  });
  return { stream, got, untap };
}

const LARGE = 'x'.repeat(1 << 20);
const SENT = [
  message('H', 'begins'),
  message('d', 'one'),
  message('d', ''),
  message('N', 'a notice'),
  message('d', LARGE),
  message('c', ''),
];
const EXPECTED = [`pg ${SENT[0]}`, 'one', '', `pg ${SENT[3]}`, LARGE, `pg ${SENT[5]}`];

describe('CopyData messages are taken off a socket', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 11, 64])('that delivers %i bytes at a time', (size) => {
    const { stream, got } = tapped();
    const bytes = Buffer.concat(SENT);
    // The large one is cut into small pieces at its ends alone.
    const cuts = bytes.length - 256;
    for (let at = 0; at < bytes.length; ) {
      const next = at < 256 || at >= cuts ? at + size : cuts;
      stream.emit('data', bytes.subarray(at, next));
      at = next;
    }
    expect(got).toEqual(EXPECTED);
  });

  test('all at once, whose bytes stay as they are', () => {
    const stream = new PassThrough();
    const kept: Buffer[] = [];
    tapCopyData({ stream } as unknown as Wire, (frames) => kept.push(frames));
    const first = Buffer.concat(SENT.slice(0, 3));
    stream.emit('data', first);
    stream.emit('data', Buffer.concat(SENT.slice(3)));
    expect(kept.map((frames) => frames.length)).toEqual([
      SENT[1]!.length + SENT[2]!.length,
      LARGE.length + 5,
    ]);
    expect(kept[0]!.equals(Buffer.concat(SENT.slice(1, 3)))).toBe(true);
  });

  test('until that ends: the rest goes where it went before', () => {
    const { stream, got, untap } = tapped();
    stream.emit('data', message('d', 'one'));
    untap();
    stream.emit('data', message('d', 'two'));
    expect(got).toEqual(['one', `pg ${message('d', 'two')}`]);
  });

  test('until a message ends it, in the middle of what came with it', () => {
    const stream = new PassThrough();
    const got: string[] = [];
    let untap = () => {};
    stream.on('data', (bytes: Buffer) => {
      got.push(bytes.toString('latin1'));
      if (bytes[0] === 0x5a) untap();
    });
    untap = tapCopyData({ stream } as unknown as Wire, () => got.push('frames'));
    const [done, ready, more] = [message('C', ''), message('Z', 'I'), message('S', 'a setting')];
    stream.emit('data', Buffer.concat([message('d', 'one'), done, ready, more]));
    expect(got).toEqual(['frames', ...[done, ready, more].map((each) => each.toString('latin1'))]);
  });
});
