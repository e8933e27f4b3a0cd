import { expect, test } from 'vitest';
import { ChangeCollector } from '#lib/engines/postgres/change-collector.ts';
import { MESSAGE_PREFIX } from '#lib/engines/postgres/own-names.ts';
import { messageBytes } from '../../support/pgoutput-bytes.ts';

test('a heartbeat is in with the end of its transaction, in whatever pieces that arrives', () => {
  const collector = new ChangeCollector();
  collector.push(messageBytes({ kind: 'begin', commitLsn: 200n, atUs: 1_000_000_000_000_000n, xid: 7 }));
  const content = Buffer.from('1234567890123');
  collector.push(
    messageBytes({
      kind: 'message',
      xid: undefined,
      transactional: true,
      lsn: 150n,
      prefix: MESSAGE_PREFIX,
      content,
    }),
  );
  // A log that is sealed now ends inside of the transaction: no successor could be brought to where it ends.
  const first = collector.take();
  expect(first?.records.map(({ beatMs }) => beatMs)).toEqual([undefined]);
  expect(first?.end).toBeUndefined();
  collector.push(
    messageBytes({ kind: 'commit', commitLsn: 200n, endLsn: 208n, atUs: 1_000_000_000_000_000n }),
  );
  const second = collector.take();
  expect(second?.records.map(({ beatMs }) => beatMs)).toEqual([1_234_567_890_123]);
  expect(second?.end).toBe(208n);
});
