import { expect, test } from 'vitest';
import { findingsOfZone } from '#lib/domain/deploy-check.ts';

const record = { zoneId: 'Z1', name: 'orders.example.com', ttlSeconds: 10 };
const zone = { name: 'example.com.', isPrivate: false, isTaken: false };

test('a private zone is good for a record that a failover changes, and not for one that health checks move', () => {
  const hidden = { ...zone, isPrivate: true };
  expect(findingsOfZone(record, hidden)).toEqual([]);
  expect(findingsOfZone({ ...record, flip: 'data-plane' }, zone)).toEqual([]);
  expect(findingsOfZone({ ...record, flip: 'data-plane' }, hidden)).toMatchObject([
    { what: expect.stringContaining('The zone Z1 is private'), fix: expect.stringContaining('public zone') },
  ]);
});
