import { expect, test } from 'vitest';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { FailoverGroup } from '../support/failover-group.ts';
import { AP, EU, US } from '../support/memory-group.ts';

test('the log lines of one record are found in every function by its lane and LSN, with epoch', async () => {
  const group = await new FailoverGroup([EU, US, AP]).found(EU);
  group.profile = PROFILES.fast;
  // A follower's first position is that of its snapshot, which takes two turns.
  for (let turn = 0; turn < 3; turn++) {
    await group.writePath.canary(EU);
    await group.follow(US);
  }
  const { lastLsn } = await group.own(EU).head('0' as never);
  const holds = ({ fields }: (typeof group.telemetry.events)[number]) =>
    fields.lane === '0' && BigInt(fields.firstLsn ?? 0) <= lastLsn && BigInt(fields.lastLsn ?? 0) >= lastLsn;
  const found = group.telemetry.events.filter(holds);
  expect(found.map(({ kind }) => kind)).toEqual(['captured', 'pulled', 'applied']);
  for (const { fields } of found) expect(fields.epoch).toBe(1);
});
