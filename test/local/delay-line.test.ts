import { describe, expect, test } from 'vitest';
import { DelayLine, type Delivered, Wire } from '#lib/local/delay-line.ts';
import { ManualScheduler } from './manual-scheduler.ts';

function setup(wire: Wire, answer: () => Delivered = () => 'more') {
  const scheduler = new ManualScheduler();
  const delivered: [at: number, parcel: string][] = [];
  const line = new DelayLine<string>(wire, scheduler, (parcel) => {
    delivered.push([scheduler.now(), parcel]);
    return answer();
  });
  return { scheduler, delivered, line };
}

describe('a delay line', () => {
  test('delivers each parcel after the delay, in order', () => {
    const { scheduler, delivered, line } = setup(new Wire(40, 0));
    line.push('a');
    scheduler.advance(10);
    line.push('b');
    scheduler.advance(29);
    expect(delivered).toEqual([]);
    scheduler.advance(100);
    expect(delivered).toEqual([
      [40, 'a'],
      [50, 'b'],
    ]);
  });

  test('lets nothing overtake when the delay is shortened', () => {
    const wire = new Wire(40, 0);
    const { scheduler, delivered, line } = setup(wire);
    line.push('slow');
    wire.delayMs = 5;
    line.push('fast');
    scheduler.advance(100);
    expect(delivered).toEqual([
      [40, 'slow'],
      [40, 'fast'],
    ]);
  });

  test('takes its time to send, and shares the bandwidth with other lines', () => {
    const wire = new Wire(40, 1000);
    const { scheduler, delivered, line } = setup(wire);
    const other = new DelayLine<string>(wire, scheduler, () => 'more');
    line.push('a', 100);
    other.push('elsewhere', 100);
    line.push('b', 100);
    expect(line.bytes).toBe(200);
    scheduler.advance(1000);
    expect(delivered).toEqual([
      [140, 'a'],
      [340, 'b'],
    ]);
    expect(line.bytes).toBe(0);
    line.push('idle does not save up', 100);
    scheduler.advance(1000);
    expect(delivered.at(-1)?.[0]).toBe(1140);
  });

  test('holds back until the receiver can take more', () => {
    const { scheduler, delivered, line } = setup(new Wire(1, 0), () => 'wait');
    line.push('a');
    line.push('b');
    scheduler.advance(10);
    expect(delivered).toEqual([[1, 'a']]);
    line.resume();
    scheduler.advance(0);
    expect(delivered).toEqual([
      [1, 'a'],
      [10, 'b'],
    ]);
  });

  test('loses everything once it is cut', () => {
    const { scheduler, delivered, line } = setup(new Wire(1, 0));
    line.push('a', 10);
    line.cut();
    line.push('b', 10);
    line.resume();
    scheduler.advance(10);
    expect(delivered).toEqual([]);
    expect(line.bytes).toBe(0);
    expect(scheduler.nextAt).toBeUndefined();
  });
});
