import { decodeMessage, type RelationColumn } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { RowChange } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { messageBytes, rowBytes } from '../test/support/pgoutput-bytes.ts';
import { benchLargeTransactions } from './large-transaction.ts';
import { benchPostgresApply } from './postgres-apply.ts';
import { benchPostgresLag } from './postgres-lag.ts';
import type { BenchResult } from './result.ts';

const RECORDS = 6_000_000;
const COLUMNS: readonly RelationColumn[] = ['id', 'customer', 'status', 'total', 'placed'].map((name) => ({
  name,
  key: name === 'id',
  type: 25,
  modifier: -1,
}));

/** Transactions of four rows of five columns, with what stands around them: 7 messages each, in one buffer. */
function transactions(count: number): { readonly bytes: Buffer; readonly ends: Uint32Array } {
  const atUs = 1_795_449_965_000_000n;
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const lsn = BigInt(i) * 800n;
    const values = (row: number) => [
      { text: `${i * 4 + row}` },
      { text: `customer-${(i * 31 + row) % 9999}` },
      { text: 'shipped' },
      row % 2 === 0 ? null : { text: `${(i * 7) % 100_000}.50` },
      { text: '2026-11-25 16:14:03.123456+00' },
    ];
    const key = [...values(3).slice(0, 1), null, null, null, null];
    parts.push(
      messageBytes({ kind: 'begin', commitLsn: lsn, atUs, xid: i }),
      messageBytes({
        kind: 'relation',
        xid: undefined,
        oid: 16_400,
        schema: 'public',
        name: 'orders',
        identity: 'default',
        columns: COLUMNS,
      }),
      rowBytes({ tag: 'I', relation: 16_400, values: values(0) }),
      rowBytes({ tag: 'U', relation: 16_400, values: values(1) }),
      rowBytes({ tag: 'U', relation: 16_400, values: values(2) }),
      rowBytes({ tag: 'D', relation: 16_400, old: { part: 'K', values: key } }),
      messageBytes({ kind: 'commit', commitLsn: lsn, endLsn: lsn + 40n, atUs }),
    );
    // A server describes a table once a session, not in each transaction.
    if (i > 0) parts.splice(-6, 1);
  }
  const ends = new Uint32Array(parts.length);
  let end = 0;
  parts.forEach(({ length }, index) => {
    end += length;
    ends[index] = end;
  });
  return { bytes: Buffer.concat(parts), ends };
}

/** Messages a core parses in full a second: transactions of four rows. */
function benchDecoder(): BenchResult {
  const { bytes, ends } = transactions(2_000);
  const row = new RowChange();
  let columns = 0;
  const pass = () => {
    let start = 0;
    for (const end of ends) {
      const tag = bytes[start];
      if (tag === 0x49 || tag === 0x55 || tag === 0x44) {
        row.read(bytes, start, end);
        columns += row.after.count;
      } else if (decodeMessage(bytes.subarray(start, end)).kind === 'relation') columns += 1;
      start = end;
    }
  };
  for (let i = 0; i < 20; i++) pass();
  const before = process.cpuUsage();
  let records = 0;
  for (; records < RECORDS; records += ends.length) pass();
  const { user, system } = process.cpuUsage(before);
  if (columns === 0) throw new Error('nothing was parsed');
  return {
    name: 'pgoutput-records-per-core-second',
    value: Math.round((records * 1e6) / (user + system)),
    unit: 'records/s',
    goal: '>= 1500000',
  };
}

export async function benchPostgres(): Promise<readonly BenchResult[]> {
  return [
    benchDecoder(),
    ...(await benchPostgresApply()),
    ...(await benchPostgresLag()),
    ...(await benchLargeTransactions()),
  ];
}
