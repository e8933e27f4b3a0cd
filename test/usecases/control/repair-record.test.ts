import { beforeEach, describe, expect, test } from 'vitest';
import { claim, founded, install } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type RecordLook, repairRecord } from '#lib/usecases/control/repair-record.ts';
import { ballot } from '../../support/acceptor-operations.ts';
import { FailoverGroup, targetOf } from '../../support/failover-group.ts';
import { E1, E2, E3 } from '../../support/log-history.ts';
import { AP, EU, US } from '../../support/memory-group.ts';
import { RecordedTelemetry } from '../../support/recorded-telemetry.ts';

const RUN = { coordinator: AP, run: 'run', cooldownUntilMs: 0 } as const;
const CLAIMED = claim(founded(EU, E1, 'first'), { ...RUN, epoch: E1, phase: 'failing-over' }).register;
const PROMOTED = install(CLAIMED, { ...RUN, epoch: E2, leader: US }).register;

let group: FailoverGroup;
let telemetry: RecordedTelemetry;
let leaseLeftMs: number;
let reads: number;
let look: RecordLook | undefined;

/** US as the leader of epoch 2 by its own item, and DNS that names EU. */
beforeEach(async () => {
  group = await new FailoverGroup([EU, US, AP]).found(EU);
  telemetry = new RecordedTelemetry();
  leaseLeftMs = 1_000;
  reads = 0;
  look = undefined;
  for (const region of [US, AP]) {
    await group.acceptor(region).vote(E1, 'over');
    await group.acceptor(region).accept(ballot(2), PROMOTED);
  }
});

async function looks(count: number, region: RegionId = US): Promise<void> {
  const { record } = group;
  const counted = {
    read: () => {
      reads += 1;
      return record.read();
    },
    flip: record.flip.bind(record),
  };
  for (let n = 0; n < count; n += 1) {
    const deps = { region, acceptor: group.acceptor(region), record: counted, targetOf, telemetry };
    look = await repairRecord({ ...deps, leaseLeftMs: () => leaseLeftMs }, look);
    record.settle();
  }
}

describe('a leader whom DNS does not name', () => {
  test('puts the record right at the second look, and asks no more once it is', async () => {
    await looks(1);
    expect(await group.record.read()).toEqual({ epoch: E1, target: targetOf(EU) });
    await looks(1);
    expect(await group.record.read()).toEqual({ epoch: E2, target: targetOf(US) });
    expect(telemetry.kinds()).toEqual(['record-repaired']);
    await looks(5);
    expect([reads, look]).toEqual([3, { epoch: E2, found: 'right' }]);
  });

  test('leaves it to the run that promoted it, if that is alive', async () => {
    await looks(1);
    await group.record.flip(await group.record.read(), { epoch: E2, target: targetOf(US) });
    await looks(3);
    expect(telemetry.kinds()).toEqual([]);
  });

  test.each<[string, () => unknown]>([
    [
      'has no lease',
      () => {
        leaseLeftMs = 0;
      },
    ],
    ['has not been promoted', () => group.acceptor(US).accept(ballot(3), CLAIMED)],
    ['has been replaced', () => group.acceptor(US).accept(ballot(3), { ...PROMOTED, leader: AP })],
    [
      'is named for a later epoch',
      async () => group.record.flip(await group.record.read(), { epoch: E3, target: targetOf(AP) }),
    ],
  ])('does nothing where it %s', async (_, spoil) => {
    await spoil();
    const before = await group.record.read();
    await looks(3);
    expect(await group.record.read()).toEqual(before);
  });

  test('does nothing if its lease ends while it looks', async () => {
    await looks(1);
    const read = group.record.read.bind(group.record);
    group.record.read = () => {
      leaseLeftMs = 0;
      return read();
    };
    await looks(1);
    expect(await read()).toEqual({ epoch: E1, target: targetOf(EU) });
  });

  test('leaves a record alone that a person changed, and says so each time', async () => {
    group.record.changeByHand('203.0.113.9');
    await expect(looks(1)).rejects.toMatchObject({ code: 'DNS_RECORD_FOREIGN' });
    await expect(looks(1)).rejects.toMatchObject({ code: 'DNS_RECORD_FOREIGN' });
  });
});
