import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { pull } from '#lib/usecases/pull.ts';
import { intercepted } from '../support/intercepted-log.ts';
import { allEntries, E2, fill, names, trimTo } from '../support/log-history.ts';
import { AP, EU, MemoryGroup, US } from '../support/memory-group.ts';

let group: MemoryGroup;
beforeEach(async () => {
  group = await new MemoryGroup([{ name: EU }, { name: US }, { name: AP, follows: US }]).lead(EU);
});

const pulled = (region: RegionId) => pull(group.deps(region));
const size = async (region: RegionId) => (await allEntries(group.own(region))).length;
const unreachable = (region: RegionId) => {
  const fail = () => async () => {
    throw new Error('unreachable');
  };
  group.reached.set(region, intercepted(group.own(region), { head: fail, entries: fail }));
};
const keep = async (region: RegionId, newest: number) => {
  const first = (await allEntries(group.own(region))).at(-newest)!.first;
  await trimTo(group.own(region), group.own(region), first);
};

describe('a pull', () => {
  test('at the leader does nothing', async () => {
    expect(await pulled(EU)).toBeUndefined();
  });

  test('repairs each log of a cascade from the one above it', async () => {
    await fill(group.own(EU), names('e', 60));
    expect(await pulled(AP)).toMatchObject({ kind: 'current', records: 0 });
    expect(await pulled(US)).toMatchObject({ kind: 'current', records: 180 });
    expect(await pulled(AP)).toMatchObject({ kind: 'current', records: 180 });
    expect(await allEntries(group.own(AP))).toEqual(await allEntries(group.own(EU)));
  });

  test('goes to the leader where the Region above does not answer, and says so', async () => {
    await fill(group.own(EU), names('e', 3));
    unreachable(US);
    expect(await pulled(AP)).toMatchObject({ kind: 'current', records: 9 });
    expect(group.telemetry.kinds()).toEqual(['upstream-silent', 'pulled']);
  });

  test('fails where the leader does not answer, so that it is tried again', async () => {
    unreachable(EU);
    await expect(pulled(US)).rejects.toThrow('unreachable');
    unreachable(US);
    await expect(pulled(AP)).rejects.toThrow('unreachable');
  });

  test('in the name of an epoch that the own log is sealed against is fenced', async () => {
    await fill(group.own(EU), ['a']);
    await group.own(US).seal(LANE_0, E2);
    expect(await pulled(US)).toMatchObject({ kind: 'fenced' });
    expect(await size(US)).toBe(0);
  });

  test('of another history changes nothing and says so', async () => {
    await fill(group.own(EU), ['a', 'b']);
    const [other] = await fill(group.own(US), ['x']);
    expect(await pulled(US)).toMatchObject({ kind: 'diverged' });
    expect(await allEntries(group.own(US))).toEqual([other]);
    expect(group.telemetry.events).toEqual([
      { kind: 'relay-diverged', fields: { lane: '0', epoch: 1, lsn: '3' } },
    ]);
  });
});

describe('a follower behind what is retained', () => {
  beforeEach(async () => {
    await fill(group.own(EU), ['e0']);
    await pulled(US);
    await pulled(AP);
    await fill(group.own(EU), names('f', 5));
    await keep(EU, 2);
  });

  test('is told so, starts over at the end of what it pulls from, and follows from there', async () => {
    expect(await pulled(US)).toMatchObject({ kind: 'behind' });
    expect(group.telemetry.events.filter(({ kind }) => kind !== 'pulled')).toEqual([
      { kind: 'FOLLOWER_BEHIND_RETENTION', fields: { lane: '0', epoch: 1, lsn: '3', retainedFrom: '13' } },
    ]);
    const leader = await group.own(EU).head(LANE_0);
    expect(await group.own(US).head(LANE_0)).toEqual({ ...leader, firstLsn: 19n, unlinkedAtMs: 0 });
    expect(await size(US)).toBe(0);

    await fill(group.own(EU), ['g']);
    expect(await pulled(US)).toMatchObject({ kind: 'current', records: 3 });
    expect((await group.own(US).head(LANE_0)).chain).toBe((await group.own(EU).head(LANE_0)).chain);
  });

  test('takes those below it along', async () => {
    await pulled(US);
    expect(await pulled(AP)).toMatchObject({ kind: 'behind' });
    await fill(group.own(EU), ['g']);
    await pulled(US);
    expect(await pulled(AP)).toMatchObject({ kind: 'current', records: 3 });
    expect((await group.own(AP).head(LANE_0)).chain).toBe((await group.own(EU).head(LANE_0)).chain);
  });

  test('keeps its seal, so that nobody older slips in by the new start', async () => {
    const { head } = await group.own(US).seal(LANE_0, E2);
    await group.lead(EU, E2);
    await pulled(US);
    expect((await group.own(US).head(LANE_0)).sealedEpoch).toBe(head.sealedEpoch);
  });

  test('whose log a newer epoch has sealed stays where the seal found it', async () => {
    const { head } = await group.own(US).seal(LANE_0, E2);
    expect(await pulled(US)).toMatchObject({ kind: 'fenced' });
    expect(await group.own(US).head(LANE_0)).toEqual(head);
  });

  test('whose log is sealed between the look and the new start stays where the seal found it', async () => {
    const sealing = intercepted(group.own(EU), {
      head: (next) => async (lane) => {
        const end = await next(lane);
        await group.own(US).seal(lane, E2);
        return end;
      },
    });
    group.reached.set(EU, sealing);
    await pulled(US);
    expect(await group.own(US).head(LANE_0)).toMatchObject({ lastLsn: 3n, sealedEpoch: 2 });
  });

  test('that has been repaired by somebody else in the meantime does not start over', async () => {
    const repaired = intercepted(group.own(EU), {
      head: (next) => async (lane) => {
        const end = await next(lane);
        const own = await group.own(US).head(lane);
        await group.own(US).rebase(lane, own, end);
        await fill(group.own(US), ['by-somebody-else']);
        return end;
      },
    });
    group.reached.set(EU, repaired);
    await pulled(US);
    expect(await size(US)).toBe(1);
  });
});
