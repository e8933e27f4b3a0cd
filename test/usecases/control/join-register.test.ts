import { expect, test } from 'vitest';
import { epochOf } from '#lib/domain/control/acceptor.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import {
  changeRegister,
  foundGroup,
  type RegisterDeps,
  readRegister,
} from '#lib/usecases/control/change-register.ts';
import { joinRegister } from '#lib/usecases/control/join-register.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const NEW = 'eu-central-1' as RegionId;
const store = new Map([EU, US, AP, NEW].map((region) => [region, new MemoryAcceptor()]));

function group(...members: readonly RegionId[]): RegisterDeps {
  return {
    acceptors: { members, of: (region) => store.get(region)! },
    region: EU,
    chance: () => 'chance',
    random: () => 0.5,
    sleep: async () => {},
  };
}

test('a Region that was added takes over the epoch in force, and counts from then on', async () => {
  const before = group(EU, US, AP);
  await foundGroup(before, founded(EU, parseEpoch(1), 'founding'));
  for (const region of before.acceptors.members) await store.get(region)!.vote(1 as Epoch, 'over');
  const second = (register: Register): Register => ({ ...register, epoch: 2 as Epoch, leader: US });
  await changeRegister(before, (register) => ({ kind: 'changed', register: second(register) }));

  const after = group(EU, US, AP, NEW);
  const register = await readRegister(after);
  expect(epochOf(await store.get(NEW)!.read())).toBe(0);
  expect(await joinRegister(after, register)).toEqual([NEW]);

  const { accepted, vote } = await store.get(NEW)!.read();
  expect(accepted?.value).toEqual(register);
  expect(vote ?? 0).toBeLessThan(2);
  expect(await joinRegister(after, register)).toEqual([]);
});
