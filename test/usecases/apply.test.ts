import { beforeEach, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { parseLsn } from '#lib/domain/lsn.ts';
import { ItemEncoder } from '#lib/engines/dynamodb/item-encoder.ts';
import { stampOf } from '#lib/engines/dynamodb/stamp.ts';
import { intercepted } from '../support/intercepted-log.ts';
import { allEntries, E1, E2, E3, fill, trimTo } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';
import { ReplicatedGroup } from '../support/replicated-group.ts';
import { PK } from '../support/stream-records.ts';

let group: ReplicatedGroup;
beforeEach(async () => {
  group = new ReplicatedGroup([{ name: EU }, { name: US }, { name: AP, follows: US }]);
  await group.lead(EU);
});

const applied = async () => (await group.control(US).applyState(LANE_0)).applied?.lsn;
const contents = (region: typeof EU) => new Map([...group.store(region).contents()].sort());
const completed = () => group.telemetry.kinds().filter((kind) => kind === 'snapshot-complete').length;
const end = async () => (await group.own(EU).head(LANE_0)).lastLsn;

/** US holds what EU holds, and has no snapshot under way. */
async function expectFollowing(): Promise<void> {
  expect(contents(US)).toEqual(contents(EU));
  expect(await group.control(US).applyState(LANE_0)).toMatchObject({ applied: { lsn: await end() } });
  expect(await group.control(US).applyState(LANE_0)).not.toHaveProperty('snapshot');
}

/** As many rounds as a snapshot takes: to copy, to let a heartbeat through, to see it. */
async function join(): Promise<void> {
  for (let rounds = 0; rounds < 3; rounds++) await group.round(EU);
  await expectFollowing();
}

describe('a new follower', () => {
  test('of a leader that has data copies it, says how far it is, and then follows', async () => {
    // Before there was a stream: rows that no log holds.
    for (let i = 0; i < 10; i++) group.put(EU, `old-${i}`, i);
    group.dropStream();
    await join();
    expect(group.telemetry.kinds()).toContain('snapshot-complete');
    expect(group.telemetry.events.filter(({ kind }) => kind === 'snapshot').length).toBeGreaterThan(3);

    group.put(EU, 'new', 1);
    group.store(EU).delete({ pk: { S: 'old-3' } });
    await group.round(EU);
    await expectFollowing();
    expect(contents(US).has('["old-3"]')).toBe(false);
  });

  test('removes what the leader does not have', async () => {
    group.put(US, 'of an older life', 1);
    group.put(EU, 'a', 1);
    await join();
    expect(contents(US).has('["of an older life"]')).toBe(false);
  });

  test('takes the rows of a leader whose log has no record of its epoch yet for newer than what earlier epochs have left', async () => {
    group.put(EU, 'a', 1);
    await group.capture(EU);
    const { lease } = await group.control(US).takeLease(LANE_0);
    const left = ['a', 'gone at the leader'].map((pk) => {
      const item = { pk: { S: pk }, value: { N: '2' } };
      return { item, stamp: stampOf(E2, parseLsn(9), new ItemEncoder().key({ pk: item.pk }, PK)) };
    });
    await group.store(US).putLeased(left, lease);
    await group.lead(EU, E3);
    await group.control(US).attach(E3);
    await group.apply(US);
    await join();
  });

  test('of an empty leader is done as soon as a heartbeat has come through', async () => {
    await join();
  });

  test('of a cascade copies from the leader and follows the Region above it', async () => {
    for (let i = 0; i < 7; i++) group.put(EU, `k${i}`, i);
    await join();
    group.put(EU, 'later', 1);
    await group.round(EU);
    expect(contents(AP)).toEqual(contents(EU));
    expect(await allEntries(group.own(AP))).toEqual(await allEntries(group.own(EU)));
  });
});

describe('a follower', () => {
  beforeEach(async () => {
    for (let i = 0; i < 5; i++) group.put(EU, `k${i}`, i);
    await join();
  });

  test('applies a run in its order, and a run that is repeated changes nothing', async () => {
    for (let i = 0; i < 40; i++) {
      group.put(EU, 'k0', 100 + i);
      await group.capture(EU);
    }
    await group.pull(US);
    await group.apply(US);
    expect(contents(US)).toEqual(contents(EU));
    const before = contents(US);
    // Another process that knows only an older position does all of it again.
    const { lease, state } = await group.control(US).takeLease(LANE_0);
    const older = parseLsn((await allEntries(group.own(US)))[2]!.first - 1n);
    await group.control(US).saveApplyState(lease, { applied: { ...state.applied!, lsn: older } });
    group.forgetHolding(US);
    await group.apply(US);
    expect(contents(US)).toEqual(before);
  });

  test('takes no lease where there is nothing to do', async () => {
    group.forgetHolding(US);
    const other = await group.control(US).takeLease(LANE_0);
    expect(await group.apply(US)).toBeUndefined();
    expect(group.control(US).holds(other.lease)).toBe(true);
  });

  test('nor in a new epoch, whatever it held in the one before', async () => {
    await group.control(US).nameLeader({ leader: EU, epoch: E2 });
    await group.control(US).attach(E2);
    const other = await group.control(US).takeLease(LANE_0);
    expect(await group.apply(US)).toBeUndefined();
    expect(group.control(US).holds(other.lease)).toBe(true);
  });

  test('holds its lease from one call to the next', async () => {
    group.put(EU, 'k0', 7);
    await group.capture(EU);
    await group.pull(US);
    const first = await group.apply(US);
    group.put(EU, 'k0', 8);
    await group.capture(EU);
    await group.pull(US);
    const second = await group.apply(US);
    expect(second!.lease).toEqual(first!.lease);
    expect(contents(US)).toEqual(contents(EU));
  });

  test('that has lost its lease stops, says so, and takes a new one in the next call', async () => {
    group.put(EU, 'k0', 7);
    await group.capture(EU);
    await group.pull(US);
    await group.apply(US);
    await group.control(US).takeLease(LANE_0);
    const position = await applied();
    group.put(EU, 'k0', 8);
    await group.capture(EU);
    await group.pull(US);
    expect(await group.apply(US)).toBeUndefined();
    expect(group.telemetry.kinds()).toContain('apply-lease-lost');
    expect(await applied()).toBe(position);
    expect(await group.apply(US)).toBeDefined();
    expect(contents(US)).toEqual(contents(EU));
  });

  test('stops when it is told to and goes on from there', async () => {
    const start = (await applied())!;
    for (let i = 0; i < 100; i++) {
      group.put(EU, `k${i}`, i);
      await group.capture(EU);
    }
    await group.pull(US);
    expect(await group.apply(US, () => false)).toBeDefined();
    expect(await applied()).toBe(start);
    let turns = 1;
    await group.apply(US, () => turns-- > 0);
    expect(await applied()).toBe(start + 32n);
    turns = 2;
    await group.apply(US, () => turns-- > 0);
    expect(await applied()).toBe(start + 96n);
    await group.apply(US);
    await expectFollowing();
  });

  test('at the leader itself does nothing', async () => {
    expect(await group.apply(EU)).toBeUndefined();
    expect(await group.control(EU).applyState(LANE_0)).toEqual({});
  });

  test('whose log has no entry that begins where it stands applies nothing', async () => {
    const { lease, state } = await group.control(US).takeLease(LANE_0);
    group.forgetHolding(US);
    group.put(EU, 'a', 1);
    group.put(EU, 'b', 2);
    await group.capture(EU);
    await group.pull(US);
    // A position within an entry: of another history.
    const astray = parseLsn((await end()) - 1n);
    group.put(EU, 'c', 3);
    await group.capture(EU);
    await group.pull(US);
    await group.control(US).saveApplyState(lease, { applied: { ...state.applied!, lsn: astray } });
    const before = contents(US);
    await expect(group.apply(US)).rejects.toMatchObject({ code: 'LOG_DIVERGED' });
    expect(contents(US)).toEqual(before);
    expect(await applied()).toBe(astray);
  });

  test('whose log names a segment that is not there applies nothing beyond it, and goes on when it is', async () => {
    group.put(EU, 'a', 1);
    await group.capture(EU);
    await group.pull(US);
    const position = await applied();
    const lossy = intercepted(group.own(US), {
      getSegment: () => async () => {
        throw new Error('gone');
      },
    });
    group.reached.set(US, lossy);
    await expect(group.apply(US)).rejects.toThrow('gone');
    expect(await applied()).toBe(position);
    group.reached.delete(US);
    await group.apply(US);
    await expectFollowing();
  });

  test('behind what the leader retains is told so and takes a new snapshot by itself', async () => {
    for (let i = 0; i < 20; i++) {
      group.put(EU, `k${i}`, 50 + i);
      await group.capture(EU);
    }
    group.store(EU).delete({ pk: { S: 'k1' } });
    await group.capture(EU);
    await trimTo(group.own(EU), group.own(EU), parseLsn(await end()));
    await group.round(EU);
    expect(group.telemetry.kinds()).toContain('FOLLOWER_BEHIND_RETENTION');
    await join();
    expect(contents(US).has('["k1"]')).toBe(false);
  });

  test('whose own log was cut off behind what it has not applied yet takes a new snapshot by itself', async () => {
    for (let i = 0; i < 4; i++) {
      group.put(EU, `k${i}`, 70 + i);
      await group.capture(EU);
    }
    await group.pull(US);
    await trimTo(group.own(US), group.own(US), parseLsn(await end()));
    const before = completed();
    await join();
    expect(completed()).toBeGreaterThan(before);
  });

  test('that copies from a leader under load has what the leader has in the end', async () => {
    // The leader's log grows between the look at its head and the read of the chunk.
    const { lease } = await group.control(US).takeLease(LANE_0);
    await group.control(US).saveApplyState(lease, {});
    group.forgetHolding(US);
    let growing = 12;
    const busy = intercepted(group.own(EU), {
      head: (next) => async (lane) => {
        const head = await next(lane);
        if (growing-- > 0) {
          group.put(EU, `k${growing}`, 1000 + growing);
          group.store(EU).delete({ pk: { S: `k${(growing + 5) % 10}` } });
        }
        return head;
      },
    });
    group.reached.set(EU, busy);
    await group.round(EU);
    group.reached.delete(EU);
    await join();
  });
});

test('a Region that does not know who leads applies nothing', async () => {
  const lost = new ReplicatedGroup([{ name: EU }, { name: US }]);
  await fill(lost.own(US), ['a'], { epoch: E1 });
  await expect(lost.apply(US)).rejects.toMatchObject({ code: 'ROLE_UNKNOWN' });
});
