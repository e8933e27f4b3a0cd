import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantile } from '#lib/local/demo/lag-probe.ts';
import { Workload, WRITTEN_AT } from '#lib/local/demo/workload.ts';

test('a workload writes items of the key schema with the time of the write, and deletes only what it wrote', () => {
  let turn = 0;
  const random = () => ((turn++ * 7919) % 1000) / 1000;
  const workload = new Workload(
    [
      { name: 'pk', type: 'S' },
      { name: 'sk', type: 'N' },
    ],
    random,
  );
  const written = new Set<string>();
  const kinds = { put: 0, delete: 0 };
  for (let nowMs = 1; nowMs <= 2000; nowMs++) {
    const write = workload.next(nowMs);
    kinds[write.kind]++;
    const key = JSON.stringify(write.key);
    if (write.kind === 'put') {
      expect(write.item[WRITTEN_AT]).toEqual({ N: `${nowMs}` });
      expect(Object.keys(write.key)).toEqual(['pk', 'sk']);
      written.add(key);
    } else {
      expect(written.delete(key), `${key} was there`).toBe(true);
    }
  }
  expect(kinds.delete).toBeGreaterThan(50);
  expect(kinds.put).toBeGreaterThan(1000);
});

test('a quantile is one of the values, and no value of its share lies above it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { minLength: 1 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const found = quantile(values, share)!;
        expect(values).toContain(found);
        expect(values.filter((value) => value < found).length).toBeLessThanOrEqual(values.length * share);
      },
    ),
  );
  expect(quantile([], 0.5)).toBeUndefined();
});
