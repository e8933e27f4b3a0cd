import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import {
  AUTHORITATIVE_ANSWER,
  type DecodedPacket,
  decode,
  encode,
  type OptAnswer,
  type Packet,
  type Question,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet';
import type { Resolution } from '#lib/local/dns/resolve.ts';

const HOST = '127.0.0.1';
const RCODES = { NOERROR: 0, FORMERR: 1, NOTIMP: 4, NXDOMAIN: 3, REFUSED: 5 } as const;
/** What fits into a datagram unless the client says that it takes more (RFC 1035, 4.2.1). */
const DATAGRAM_BYTES = 512;
/** What we say that we take ourselves. */
const EDNS_BYTES = 1232;
const IDLE_MS = 30_000;

/** Answers DNS queries on one loopback port, by UDP and by TCP. */
export class DnsListener {
  readonly #udp = createSocket('udp4');
  readonly #tcp = createServer((socket) => this.#serve(socket));
  readonly #connections = new Set<Socket>();
  readonly #resolve: (question: Question) => Resolution;

  private constructor(resolve: (question: Question) => Resolution) {
    this.#resolve = resolve;
    this.#udp.on('message', (message, { port, address }) => {
      const answer = this.#answer(message, 'udp');
      // The client may be gone, and will not hear that we failed.
      if (answer !== undefined) this.#udp.send(answer, port, address, () => {});
    });
  }

  static async open(port: number, resolve: (question: Question) => Resolution): Promise<DnsListener> {
    const listener = new DnsListener(resolve);
    listener.#udp.bind(port, HOST);
    listener.#tcp.listen(port, HOST);
    await Promise.all([once(listener.#udp, 'listening'), once(listener.#tcp, 'listening')]);
    return listener;
  }

  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    const closed = [once(this.#udp, 'close'), once(this.#tcp, 'close')];
    this.#udp.close();
    this.#tcp.close();
    await Promise.all(closed);
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy()).on('close', () => this.#connections.delete(socket));
    let received = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      // Each message follows its length, two bytes.
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
        const end = 2 + received.readUInt16BE();
        const answer = this.#answer(received.subarray(2, end), 'tcp');
        if (answer === undefined) return void socket.destroy();
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
        received = received.subarray(end);
      }
    });
  }

  /** Undefined for a message that is no query, or none that can be read. */
  #answer(message: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    try {
      const query = decode(message);
      return query.type === 'query' ? this.#respond(query, transport) : undefined;
    } catch {
      return undefined;
    }
  }

  #respond(query: DecodedPacket, transport: 'udp' | 'tcp'): Buffer {
    const edns = query.additionals?.find(({ type }) => type === 'OPT');
    const head: Packet = {
      type: 'response',
      id: query.id,
      flags: AUTHORITATIVE_ANSWER | (query.flag_rd ? RECURSION_DESIRED : 0),
      questions: query.questions,
      additionals: edns === undefined ? [] : [OPT],
    };
    const [question, ...more] = query.questions ?? [];
    if (question === undefined || more.length > 0) return encode(withCode(head, 'FORMERR'));
    if (question.class !== 'IN' || (question.type as string) === 'ANY')
      return encode(withCode(head, 'NOTIMP'));
    const { rcode, answers, authorities } = this.#resolve(question);
    const bytes = encode({
      ...withCode(head, rcode),
      answers: [...answers],
      authorities: [...authorities],
    });
    const limit = edns?.type === 'OPT' ? Math.max(edns.udpPayloadSize, DATAGRAM_BYTES) : DATAGRAM_BYTES;
    if (transport === 'tcp' || bytes.length <= limit) return bytes;
    return encode({ ...head, flags: (head.flags ?? 0) | TRUNCATED_RESPONSE });
  }
}

const OPT: OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: EDNS_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function withCode(packet: Packet, code: keyof typeof RCODES): Packet {
  return { ...packet, flags: (packet.flags ?? 0) | RCODES[code] };
}
