import { describe, expect, test } from 'vitest';
import { LANE_0, parseLaneId, parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { ApplyState, Control, FitnessNotes } from '#lib/ports/control.ts';

const LANE_1 = parseLaneId('1');

const STATE: ApplyState = {
  applied: { lsn: parseLsn(7), epoch: parseEpoch(2), totalBytes: 900n, commitMs: 1_700_000_000_123 },
};

/** Every value at an end of its range, and every field that may be absent there. */
const FULL_STATE: ApplyState = {
  applied: {
    lsn: parseLsn(2n ** 64n - 1n),
    epoch: parseEpoch(0xffff_ffff),
    totalBytes: 2n ** 70n,
    commitMs: Number.MAX_SAFE_INTEGER,
  },
  snapshot: {
    phase: 'sweep',
    startLsn: parseLsn(2n ** 63n),
    startEpoch: parseEpoch(9),
    cursor: '{"pk":{"B":{"base64":"AP8="}},"s\\"k":{"S":"ü\u{1f980}\\n"}}',
    watermarkMs: 1_700_000_000_456,
    rowsCopied: 12_345_678,
    rowsEstimated: 0,
  },
  rewound: { to: parseLsn(0), epoch: parseEpoch(9), lsn: parseLsn(2n ** 63n) },
};

/** What every control table must do. `open` gives that of eu-west-1, which nobody has used. */
export function controlContract(name: string, open: () => Promise<Control & FitnessNotes>): void {
  describe(`${name} as a control table`, () => {
    test('knows no role before a leader is named', async () => {
      await expect((await open()).role()).rejects.toMatchObject({ code: 'ROLE_UNKNOWN' });
    });

    test('names a leader once per epoch, and never an earlier one', async () => {
      const control = await open();
      const role = (epoch: number, leader: string) => ({
        epoch: parseEpoch(epoch),
        leader: parseRegionId(leader),
      });
      expect(await control.nameLeader(role(1, 'eu-west-1'))).toBe('named');
      expect(await control.role()).toEqual({ ...role(1, 'eu-west-1'), attached: 1 });
      expect(await control.nameLeader(role(1, 'us-east-1'))).toBe('superseded');
      expect(await control.nameLeader(role(10, 'us-east-1'))).toBe('named');
      expect(await control.nameLeader(role(9, 'eu-west-1'))).toBe('superseded');
      expect(await control.nameLeader(role(10, 'us-east-1'))).toBe('superseded');
      expect(await control.role()).toMatchObject(role(10, 'us-east-1'));
    });

    test('remembers that its Region led, and is not attached to another leader before it is found to be', async () => {
      const control = await open();
      const name = (epoch: number, leader: string) =>
        control.nameLeader({ epoch: parseEpoch(epoch), leader: parseRegionId(leader) });
      await name(1, 'eu-west-1');
      await name(2, 'us-east-1');
      expect(await control.role()).toEqual({ epoch: 2, leader: 'us-east-1', attached: 1, led: 1 });
      await name(3, 'ap-southeast-1');
      expect(await control.role()).toMatchObject({ attached: 1, led: 1 });
      expect(await control.attach(parseEpoch(2))).toBe('superseded');
      expect(await control.attach(parseEpoch(3))).toBe('attached');
      expect(await control.role()).toEqual({ epoch: 3, leader: 'ap-southeast-1', attached: 3 });
      await name(4, 'eu-west-1');
      expect(await control.role()).toEqual({ epoch: 4, leader: 'eu-west-1', attached: 4 });
    });

    test('keeps why its store could not lead, beside a state that others move', async () => {
      const control = await open();
      await control.noteFitness(LANE_0, 'its table has no stream');
      expect(await control.applyState(LANE_0)).toEqual({ unfit: 'its table has no stream' });
      const { lease, state } = await control.takeLease(LANE_0);
      expect(state).toEqual({ unfit: 'its table has no stream' });
      await control.noteFitness(LANE_0, 'its table has another key');
      // What the applier read before is not what it saves.
      expect(await control.saveApplyState(lease, { ...state, ...STATE })).toBe('saved');
      expect(await control.applyState(LANE_0)).toEqual({ ...STATE, unfit: 'its table has another key' });
      await control.noteFitness(LANE_0, undefined);
      expect(await control.applyState(LANE_0)).toEqual(STATE);
      expect(await control.applyState(LANE_1)).toEqual({});
    });

    test('begins without a state', async () => {
      const control = await open();
      expect(await control.applyState(LANE_0)).toEqual({});
      expect((await control.takeLease(LANE_0)).state).toEqual({});
    });

    test('gives a saved state back to the byte, to readers and to the next holder', async () => {
      const control = await open();
      const { lease } = await control.takeLease(LANE_0);
      const { cursor: _, watermarkMs: __, ...snapshot } = FULL_STATE.snapshot!;
      for (const state of [
        STATE,
        FULL_STATE,
        { ...STATE, snapshot: { ...snapshot, phase: 'copy' as const } },
        {},
      ]) {
        expect(await control.saveApplyState(lease, state)).toBe('saved');
        expect(await control.applyState(LANE_0)).toEqual(state);
      }
      await control.saveApplyState(lease, FULL_STATE);
      expect((await control.takeLease(LANE_0)).state).toEqual(FULL_STATE);
    });

    test('notes rows that are about to be put back, and moves no position by it, however late', async () => {
      const control = await open();
      const { lease } = await control.takeLease(LANE_0);
      const rewound = FULL_STATE.rewound!;
      expect(await control.noteRewound(lease, rewound)).toBe('saved');
      expect(await control.applyState(LANE_0)).toEqual({ rewound });
      await control.saveApplyState(lease, { ...STATE, rewound });
      expect(await control.noteRewound(lease, rewound)).toBe('saved');
      expect(await control.applyState(LANE_0)).toEqual({ ...STATE, rewound });
      // A store that is copied anew has no such rows.
      await control.saveApplyState(lease, STATE);
      expect(await control.applyState(LANE_0)).toEqual(STATE);
      const next = await control.takeLease(LANE_0);
      expect(await control.noteRewound(lease, rewound)).toBe('lost');
      expect(next.state).toEqual(STATE);
      expect(await control.applyState(LANE_0)).toEqual(STATE);
    });

    test('lets the holder of the lease alone save, and whoever took it last holds it', async () => {
      const control = await open();
      const first = await control.takeLease(LANE_0);
      expect(await control.saveApplyState(first.lease, STATE)).toBe('saved');
      const second = await control.takeLease(LANE_0);
      expect(await control.saveApplyState(first.lease, {})).toBe('lost');
      expect(await control.applyState(LANE_0)).toEqual(STATE);
      expect(await control.saveApplyState(second.lease, FULL_STATE)).toBe('saved');
      expect(await control.saveApplyState(first.lease, STATE)).toBe('lost');
      expect(await control.applyState(LANE_0)).toEqual(FULL_STATE);
    });

    test('refuses a lease that nobody has taken', async () => {
      const control = await open();
      expect(await control.saveApplyState({ lane: LANE_0, token: 1 }, STATE)).toBe('lost');
      const { lease } = await control.takeLease(LANE_0);
      expect(await control.saveApplyState({ ...lease, token: lease.token + 1 }, STATE)).toBe('lost');
      expect(await control.applyState(LANE_0)).toEqual({});
    });

    test('gives every one of many that take the lease at once a token of its own, and one of them the lease', async () => {
      const control = await open();
      const taken = await Promise.all(Array.from({ length: 12 }, () => control.takeLease(LANE_0)));
      expect(new Set(taken.map(({ lease }) => lease.token)).size).toBe(12);
      const outcomes = await Promise.all(taken.map(({ lease }) => control.saveApplyState(lease, STATE)));
      expect(outcomes.filter((outcome) => outcome === 'saved')).toHaveLength(1);
      const latest = taken.reduce((a, b) => (a.lease.token > b.lease.token ? a : b));
      expect(outcomes[taken.indexOf(latest)]).toBe('saved');
    });

    test('keeps lanes apart', async () => {
      const control = await open();
      const zero = await control.takeLease(LANE_0);
      const one = await control.takeLease(LANE_1);
      await control.takeLease(LANE_1);
      expect(await control.saveApplyState(zero.lease, STATE)).toBe('saved');
      expect(await control.saveApplyState(one.lease, STATE)).toBe('lost');
      expect(await control.applyState(LANE_1)).toEqual({});
    });

    test('keeps role and apply state apart', async () => {
      const control = await open();
      const { lease } = await control.takeLease(LANE_0);
      await control.saveApplyState(lease, STATE);
      await control.nameLeader({ epoch: parseEpoch(1), leader: parseRegionId('eu-west-1') });
      expect(await control.applyState(LANE_0)).toEqual(STATE);
      expect(await control.saveApplyState(lease, FULL_STATE)).toBe('saved');
      expect((await control.role()).leader).toBe('eu-west-1');
    });
  });
}
