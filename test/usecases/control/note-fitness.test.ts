import { beforeEach, describe, expect, test } from 'vitest';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import type { FitnessNotes } from '#lib/ports/control.ts';
import { type Fitness, noteFitness } from '#lib/usecases/control/note-fitness.ts';
import { EU } from '../../support/memory-group.ts';
import { RecordedTelemetry } from '../../support/recorded-telemetry.ts';

const MISSING = new UnderstudyError('STREAM_MISSING', 'table orders has no stream', 'Switch it on.');
const UNFIT = 'STREAM_MISSING: table orders has no stream';

let control: MemoryControl;
let telemetry: RecordedTelemetry;
let writes: number;
let noted: Fitness | undefined;

beforeEach(() => {
  control = new MemoryControl(EU);
  telemetry = new RecordedTelemetry();
  writes = 0;
  noted = undefined;
});

/** One look at a store, by a process that knows what it noted before. */
async function look(check: () => Promise<unknown>): Promise<string | undefined> {
  const counted: FitnessNotes = {
    noteFitness: (lane, unfit) => {
      writes += 1;
      return control.noteFitness(lane, unfit);
    },
  };
  noted = await noteFitness({ check, control: counted, telemetry }, noted);
  return (await control.applyState(LANE_0)).unfit;
}

describe('a look at a store', () => {
  test('notes why it could not lead, says so each time, and writes only what has changed', async () => {
    for (let n = 0; n < 3; n++) expect(await look(() => Promise.reject(MISSING))).toBe(UNFIT);
    expect([writes, telemetry.kinds()]).toEqual([1, ['unfit', 'unfit', 'unfit']]);
    for (let n = 0; n < 3; n++) expect(await look(async () => 'arn')).toBeUndefined();
    expect(writes).toBe(2);
  });

  test('of a new process notes what it finds, whatever was noted before', async () => {
    await control.noteFitness(LANE_0, UNFIT);
    expect(await look(async () => 'arn')).toBeUndefined();
  });

  test('that gets no answer leaves the note as it is', async () => {
    await look(() => Promise.reject(MISSING));
    await expect(look(() => Promise.reject(new Error('timeout')))).rejects.toThrow('timeout');
    expect((await control.applyState(LANE_0)).unfit).toBe(UNFIT);
  });
});
