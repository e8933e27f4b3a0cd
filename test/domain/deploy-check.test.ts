import { expect, test } from 'vitest';
import { founded } from '#lib/domain/control/register.ts';
import {
  findingsOfChangedRegister,
  findingsOfRegisterTable,
  findingsOfZone,
} from '#lib/domain/deploy-check.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { ballot } from '../support/acceptor-operations.ts';

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

test('a table is the register only if it is strongly consistent, in every Region of the group', () => {
  const regions = ['eu-west-1', 'eu-west-2', 'eu-west-3'];
  const register = { kind: 'mrsc', table: 'register' } as const;
  const group = parseGroup({
    group: 'orders',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
    regions: regions.map((name) => ({ name })),
    register,
  });
  const found = (facts: { isStrong: boolean; regions: string[] } | undefined) =>
    findingsOfRegisterTable(group, register, parseRegionId('eu-west-1'), facts).map(({ fix, what }) => [
      what,
      fix,
    ]);
  expect(found({ isStrong: true, regions: regions.toReversed() })).toEqual([]);
  expect(found(undefined)).toEqual([
    [
      'There is no register yet: no table register in eu-west-1.',
      expect.stringContaining('understudy-orders-register first'),
    ],
  ]);
  expect(found({ isStrong: false, regions })).toEqual([
    [expect.stringContaining('no global table of multi-Region'), expect.any(String)],
  ]);
  expect(found({ isStrong: true, regions: ['eu-west-1', 'eu-west-2'] })).toEqual([
    [expect.stringContaining('no replica in eu-west-3'), expect.any(String)],
  ]);
});

test('a register that knows nothing of the group’s leader is another one than the group was founded with', () => {
  const eu = parseRegionId('eu-west-1');
  const role = { epoch: parseEpoch(4), leader: eu };
  const blank = { promised: ballot(0) };
  const holding = { ...blank, accepted: { ballot: ballot(1), value: founded(eu, parseEpoch(4), 'run') } };
  expect(findingsOfChangedRegister([role], [blank, blank])).toMatchObject([
    {
      what: expect.stringContaining('eu-west-1 leads epoch 4'),
      fix: expect.stringContaining('set the prop register back'),
    },
  ]);
  // One that has forgotten is taken in again; one that nobody could ask may hold anything; a new group has no leader.
  expect(findingsOfChangedRegister([role], [blank, holding])).toEqual([]);
  expect(findingsOfChangedRegister([role], [])).toEqual([]);
  expect(findingsOfChangedRegister([], [blank])).toEqual([]);
});
