import { describe, expect, test } from 'vitest';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { LeaderInDns, LeaderRecord } from '#lib/ports/leader-record.ts';

/** The targets that the record may name: two names and an address of each kind. */
export const TARGETS = {
  eu: 'eu.example.internal',
  us: 'us.example.internal',
  ap: '10.3.0.7',
  sa: 'fd00:4::7',
} as const;
export const INVENTORY: readonly string[] = Object.values(TARGETS);

/** A record that nobody has used, and the world around it. */
export type RecordWorld = {
  readonly record: LeaderRecord;
  /** Brings DNS's servers in sync with its control plane. */
  settle(): void;
  /** Points the address at another target and leaves the epoch alone. */
  changeByHand(target: string): Promise<void>;
  /** What DNS's servers tell a client; a field is undefined where they have no answer. */
  ask(): Promise<{ readonly target: string | undefined; readonly epoch: Epoch | undefined }>;
};

const leader = (epoch: number, target: string): LeaderInDns => ({ epoch: parseEpoch(epoch), target });

const E1 = leader(1, TARGETS.eu);
const E2 = leader(2, TARGETS.us);
const E3 = leader(3, TARGETS.eu);

/** What every leader record must do. */
export function leaderRecordContract(name: string, open: () => Promise<RecordWorld>): void {
  /** A record that has named these leaders, one after the other, and is in sync. */
  async function having(...leaders: readonly LeaderInDns[]): Promise<RecordWorld> {
    const world = await open();
    let from: LeaderInDns | undefined;
    for (const to of leaders) {
      expect(await world.record.flip(from, to)).toMatchObject({ kind: 'submitted' });
      from = to;
    }
    world.settle();
    return world;
  }

  async function expectUnchanged({ record, settle, ask }: RecordWorld, at: LeaderInDns): Promise<void> {
    settle();
    expect(await record.read()).toEqual(at);
    expect(await ask()).toEqual(at);
  }

  describe(`${name} as a leader's record`, () => {
    test('names nobody before the first flip', async () => {
      const { record, ask } = await open();
      expect(await record.read()).toBeUndefined();
      expect(await ask()).toEqual({ target: undefined, epoch: undefined });
    });

    test('is read as flipped at once, and answered so when the change is in sync', async () => {
      const { record, settle, ask } = await having(E1);
      const flip = await record.flip(E1, E2);
      if (flip.kind !== 'submitted') expect.unreachable(flip.kind);
      expect(await record.read()).toEqual(E2);
      expect(await record.status(flip.change)).toBe('pending');
      expect(await ask()).toEqual(E1);
      settle();
      expect(await record.status(flip.change)).toBe('in-sync');
      expect(await ask()).toEqual(E2);
    });

    test('names targets of every form, and goes from each to each', async () => {
      const { eu, us, ap, sa } = TARGETS;
      const route = [eu, us, ap, eu, sa, eu, ap, sa, ap, us];
      const leaders = route.map((target, index) => leader(index + 1, target));
      await expectUnchanged(await having(...leaders), leaders.at(-1)!);
    });

    test('keeps its target where the epoch alone moves on', async () => {
      await expectUnchanged(await having(E1, leader(2, E1.target)), leader(2, E1.target));
    });

    test.each([
      ['an earlier leader', E1],
      ['no leader', undefined],
      ['another target', leader(2, TARGETS.ap)],
      ['another epoch', leader(1, TARGETS.us)],
    ])('refuses a plan that was made from %s', async (_, from) => {
      const world = await having(E1, E2);
      expect(await world.record.flip(from, E3)).toEqual({ kind: 'stale', now: E2 });
      await expectUnchanged(world, E2);
    });

    test('refuses a plan that was made from a record where there is none', async () => {
      const { record } = await open();
      expect(await record.flip(E1, E2)).toEqual({ kind: 'stale', now: undefined });
      expect(await record.read()).toBeUndefined();
    });

    test.each([
      ['the same epoch', leader(2, TARGETS.eu)],
      ['an earlier one', leader(1, TARGETS.eu)],
    ])('refuses %s even from the leader that it names', async (_, to) => {
      const world = await having(E1, E2);
      expect(await world.record.flip(E2, to)).toEqual({ kind: 'stale', now: E2 });
      await expectUnchanged(world, E2);
    });

    test('lets one of many racing flips win, and tells the others who did', async () => {
      const world = await having(E1);
      const rivals = Array.from({ length: 6 }, (_, index) => leader(2 + index, INVENTORY[index % 2]!));
      const outcomes = await Promise.all(rivals.map((to) => world.record.flip(E1, to)));
      const winners = rivals.filter((_, index) => outcomes[index]!.kind === 'submitted');
      expect(winners).toHaveLength(1);
      const losers = outcomes.filter(({ kind }) => kind !== 'submitted');
      for (const outcome of losers) expect(outcome).toEqual({ kind: 'stale', now: winners[0] });
      await expectUnchanged(world, winners[0]!);
    });

    test('lets one of many racing first flips win', async () => {
      const { record } = await open();
      const outcomes = await Promise.all([E1, leader(1, TARGETS.us)].map((to) => record.flip(undefined, to)));
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['stale', 'submitted']);
    });

    test('does the same flip once, however many ask for it at the same time', async () => {
      const world = await having(E1);
      const outcomes = await Promise.all(Array.from({ length: 4 }, () => world.record.flip(E1, E2)));
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['already', 'already', 'already', 'submitted']);
      await expectUnchanged(world, E2);
    });

    test('says of a flip that was done before that it is', async () => {
      const world = await having(E1, E2);
      expect(await world.record.flip(E1, E2)).toEqual({ kind: 'already' });
      expect(await world.record.flip(E2, E2)).toEqual({ kind: 'already' });
      await expectUnchanged(world, E2);
    });

    test('leaves a record alone that a person has changed, and says so', async () => {
      const { record, settle, ask, changeByHand } = await having(E1);
      await changeByHand(TARGETS.us);
      settle();
      await expect(record.read()).rejects.toMatchObject({ code: 'DNS_RECORD_FOREIGN' });
      for (const from of [E1, undefined, leader(1, TARGETS.us)]) {
        expect(await record.flip(from, E2)).toEqual({ kind: 'stale', now: undefined });
      }
      settle();
      expect(await ask()).toEqual(leader(1, TARGETS.us));
    });

    test('refuses a target outside of the inventory', async () => {
      const world = await having(E1);
      const flip = (target: string) => world.record.flip(E1, leader(2, target));
      for (const target of ['elsewhere.example.internal', '10.3.0.8', 'eu.example', '']) {
        await expect(flip(target)).rejects.toMatchObject({ code: 'DNS_TARGET_UNKNOWN' });
      }
      await expectUnchanged(world, E1);
    });

    test('never leaves clients without a leader, and never goes back, whatever coordinators do', async () => {
      const world = await having(E1);
      const { record, settle, ask } = world;
      const heard: Awaited<ReturnType<typeof ask>>[] = [];
      let watching = true;
      const client = (async () => {
        while (watching) heard.push(await ask());
      })();
      /** Plans from what it has read, by then perhaps long overtaken. */
      const coordinator = async (offset: number) => {
        let from = await record.read();
        for (let round = 0; round < 12; round++) {
          const target = INVENTORY[(round + offset) % 3]!;
          const outcome = await record.flip(from, leader(from!.epoch + 1 + (round % 2), target));
          settle();
          if (outcome.kind !== 'submitted' || round % 3 === 0) from = await record.read();
        }
      };
      await Promise.all([0, 1, 2].map(coordinator));
      watching = false;
      await client;
      expect(heard.length).toBeGreaterThan(10);
      for (const { target } of heard) expect(INVENTORY).toContain(target);
      const epochs = heard.map(({ epoch }) => epoch ?? 0);
      expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
      const last = await record.read();
      expect(last!.epoch).toBeGreaterThan(5);
      await expectUnchanged(world, last!);
    });
  });
}
