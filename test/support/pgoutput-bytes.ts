import type { Message } from '#lib/engines/postgres/pgoutput/decode-message.ts';

/** A column's value as pgoutput sends it. */
export type Value = null | 'unchanged' | { readonly text: string } | { readonly binary: Uint8Array };

const u8 = (value: number) => Buffer.from([value]);
const u16 = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
};
const time = (us: bigint) => u64(us - 946_684_800_000_000n);
const text = (value: string) => Buffer.from(`${value}\0`);
const tag = (letter: string, xid?: number) =>
  Buffer.concat([Buffer.from(letter), ...(xid === undefined ? [] : [u32(xid)])]);

function tuple(values: readonly Value[]): Buffer {
  const columns = values.map((value) => {
    if (value === null) return Buffer.from('n');
    if (value === 'unchanged') return Buffer.from('u');
    const bytes = 'text' in value ? Buffer.from(value.text) : Buffer.from(value.binary);
    return Buffer.concat([Buffer.from('text' in value ? 't' : 'b'), u32(bytes.length), bytes]);
  });
  return Buffer.concat([u16(values.length), ...columns]);
}

export type Row = {
  readonly tag: 'I' | 'U' | 'D';
  readonly xid?: number | undefined;
  readonly relation: number;
  readonly old?: { readonly part: 'K' | 'O'; readonly values: readonly Value[] } | undefined;
  readonly values?: readonly Value[] | undefined;
};

/** A row's change, by the protocol's book. */
export function rowBytes({ tag: letter, xid, relation, old, values }: Row): Buffer {
  return Buffer.concat([
    tag(letter, xid),
    u32(relation),
    ...(old ? [Buffer.from(old.part), tuple(old.values)] : []),
    ...(values ? [Buffer.from('N'), tuple(values)] : []),
  ]);
}

/** Any other message, by the protocol's book. */
export function messageBytes(message: Message): Buffer {
  const prepared = (letter: string, flags: boolean, of: Extract<Message, { kind: 'prepare' }>) =>
    Buffer.concat([
      tag(letter),
      ...(flags ? [u8(0)] : []),
      u64(of.lsn),
      u64(of.endLsn),
      time(of.atUs),
      u32(of.xid),
      text(of.gid),
    ]);
  switch (message.kind) {
    case 'begin':
      return Buffer.concat([tag('B'), u64(message.commitLsn), time(message.atUs), u32(message.xid)]);
    case 'commit':
      return Buffer.concat([
        tag('C'),
        u8(0),
        u64(message.commitLsn),
        u64(message.endLsn),
        time(message.atUs),
      ]);
    case 'origin':
      return Buffer.concat([tag('O'), u64(message.lsn), text(message.name)]);
    case 'relation':
      return Buffer.concat([
        tag('R', message.xid),
        u32(message.oid),
        text(message.schema),
        text(message.name),
        Buffer.from({ default: 'd', nothing: 'n', full: 'f', index: 'i' }[message.identity]),
        u16(message.columns.length),
        ...message.columns.flatMap(({ key, name, type, modifier }) => [
          u8(key ? 1 : 0),
          text(name),
          u32(type),
          u32(modifier),
        ]),
      ]);
    case 'type':
      return Buffer.concat([
        tag('Y', message.xid),
        u32(message.oid),
        text(message.schema),
        text(message.name),
      ]);
    case 'truncate':
      return Buffer.concat([
        tag('T', message.xid),
        u32(message.relations.length),
        u8((message.cascade ? 1 : 0) | (message.restartIdentity ? 2 : 0)),
        ...message.relations.map(u32),
      ]);
    case 'message':
      return Buffer.concat([
        tag('M', message.xid),
        u8(message.transactional ? 1 : 0),
        u64(message.lsn),
        text(message.prefix),
        u32(message.content.length),
        message.content,
      ]);
    case 'stream-start':
      return Buffer.concat([tag('S', message.xid), u8(message.first ? 1 : 0)]);
    case 'stream-stop':
      return tag('E');
    case 'stream-commit':
      return Buffer.concat([
        tag('c', message.xid),
        u8(0),
        u64(message.commitLsn),
        u64(message.endLsn),
        time(message.atUs),
      ]);
    case 'stream-abort':
      return Buffer.concat([
        tag('A', message.xid),
        u32(message.subxid),
        ...(message.lsn === undefined ? [] : [u64(message.lsn), time(message.atUs!)]),
      ]);
    case 'begin-prepare':
      return prepared('b', false, { ...message, kind: 'prepare' });
    case 'prepare':
      return prepared('P', true, message);
    case 'commit-prepared':
      return prepared('K', true, { ...message, kind: 'prepare' });
    case 'stream-prepare':
      return prepared('p', true, { ...message, kind: 'prepare' });
    case 'rollback-prepared':
      return Buffer.concat([
        tag('r'),
        u8(0),
        u64(message.prepareEndLsn),
        u64(message.endLsn),
        time(message.preparedUs),
        time(message.atUs),
        u32(message.xid),
        text(message.gid),
      ]);
  }
}
