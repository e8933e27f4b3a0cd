import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RegionId } from '#lib/domain/ids.ts';
import {
  downstreamsOf,
  type GroupConfig,
  type KeySchema,
  membersOf,
  parseGroup,
  refuseTooFew,
  upstreamOf,
} from '#lib/domain/topology.ts';

const key: KeySchema = [{ name: 'pk', type: 'S' }];
const NAMES = ['eu-west-1', 'us-east-1', 'ap-south-1', 'sa-east-1', 'ca-west-1'] as const;
const [EU, US, AP] = NAMES as unknown as readonly [RegionId, RegionId, RegionId];

function group(follows: Partial<Record<(typeof NAMES)[number], string>>, names: readonly string[] = NAMES) {
  return parseGroup({
    group: 'orders',
    engine: { kind: 'dynamodb', table: 'orders', key },
    regions: names.map((name) => ({ name, follows: follows[name as (typeof NAMES)[number]] })),
  });
}

/** Any number of Regions from two on, each of which follows any other, or none by name. */
const anyGroup: fc.Arbitrary<GroupConfig> = fc
  .tuple(fc.integer({ min: 2, max: NAMES.length }), fc.array(fc.nat(), { minLength: 5, maxLength: 5 }))
  .map(([size, picks]) => {
    const names = NAMES.slice(0, size);
    const follows = names.map((name, i) => [
      name,
      [undefined, ...names.filter((other) => other !== name)][picks[i]! % size],
    ]);
    return group(Object.fromEntries(follows), names);
  });

describe('who feeds whom', () => {
  test('every Region is reached from the leader, whoever leads and whatever rings the configuration holds', () => {
    fc.assert(
      fc.property(anyGroup, fc.nat(), (config, pick) => {
        const names = config.regions.map(({ name }) => name);
        const leader = names[pick % names.length]!;
        expect(upstreamOf(config, leader, leader)).toBeUndefined();
        for (const name of names) {
          let at: RegionId | undefined = name;
          for (let hops = 0; at !== leader; hops++) {
            expect(hops).toBeLessThan(names.length);
            at = upstreamOf(config, at!, leader);
          }
        }
        // Downstream is the same relation, read the other way round: each follower is fed by exactly one.
        const fed = names.flatMap((name) => downstreamsOf(config, name, leader));
        expect(fed.toSorted()).toEqual(names.filter((name) => name !== leader).toSorted());
      }),
    );
  });

  test('without preferences, the leader feeds all', () => {
    const config = group({}, [EU, US, AP]);
    expect(downstreamsOf(config, EU, EU)).toEqual([US, AP]);
    expect(downstreamsOf(config, US, EU)).toEqual([]);
  });

  test('a cascade holds while its head follows, and turns when the leader changes', () => {
    const config = group({ 'ap-south-1': US }, [EU, US, AP]);
    expect(downstreamsOf(config, EU, EU)).toEqual([US]);
    expect(downstreamsOf(config, US, EU)).toEqual([AP]);
    // The middle leads: it feeds both.
    expect(downstreamsOf(config, US, US)).toEqual([EU, AP]);
    // The end leads: it feeds those that it used to be fed by.
    expect(downstreamsOf(config, AP, AP)).toEqual([EU, US]);
    expect(downstreamsOf(config, US, AP)).toEqual([]);
  });

  test('Regions that follow each other in a ring are fed by the leader; one beside the ring keeps its place', () => {
    const config = group({ 'us-east-1': AP, 'ap-south-1': US, 'sa-east-1': 'ca-west-1' });
    expect(upstreamOf(config, US, EU)).toBe(EU);
    expect(upstreamOf(config, AP, EU)).toBe(EU);
    expect(upstreamOf(config, 'sa-east-1' as RegionId, EU)).toBe('ca-west-1');
    // Inside the ring, the leader breaks it.
    expect(upstreamOf(config, US, AP)).toBe(AP);
  });
});

describe('a group', () => {
  const code = (expected: string, names: string) =>
    expect.objectContaining({ code: expected, message: expect.stringContaining(names) });

  test('is refused with two Regions of one name, or only one Region', () => {
    expect(() => group({}, [EU, US, EU])).toThrow(code('CONFIG_REGION_REPEATED', EU));
    expect(() => group({}, [EU])).toThrow(code('CONFIG_INVALID', 'two Regions'));
    expect(() => group({}, [])).toThrow(code('CONFIG_INVALID', 'two Regions'));
  });

  test('is refused where a Region follows itself or one that is not there', () => {
    expect(() => group({ 'eu-west-1': EU }, [EU, US])).toThrow(code('CONFIG_INVALID', 'follows eu-west-1'));
    expect(() => group({ 'eu-west-1': AP }, [EU, US])).toThrow(code('CONFIG_INVALID', AP));
  });

  test('has its witnesses among those that decide, and not among those that hold data', () => {
    const config = parseGroup({
      group: 'orders',
      engine: { kind: 'dynamodb', table: 'orders', key },
      regions: [{ name: EU }, { name: US }],
      witnesses: [AP],
    });
    expect(membersOf(config)).toEqual([EU, US, AP]);
    expect(downstreamsOf(config, EU, EU)).toEqual([US]);
    expect(() => refuseTooFew(config)).not.toThrow();
    expect(() => refuseTooFew(group({}, [EU, US]))).toThrow(code('REGIONS_TOO_FEW', 'witnesses'));
    expect(membersOf(group({}, [EU, US]))).toEqual([EU, US]);
  });

  test.each([
    ['is a replica, too', [EU, US], [EU], 'CONFIG_REGION_REPEATED', EU],
    ['is there twice', [EU, US], [AP, AP], 'CONFIG_REGION_REPEATED', AP],
    ['has a name that is none', [EU, US], ['Ireland'], 'CONFIG_INVALID', 'Ireland'],
    ['stands for a replica', [EU], [US, AP], 'CONFIG_INVALID', 'two Regions'],
  ] as const)('is refused with a witness that %s', (_, names, witnesses, expected, naming) => {
    const regions = names.map((name) => ({ name }));
    expect(() =>
      parseGroup({ group: 'orders', engine: { kind: 'dynamodb', table: 'orders', key }, regions, witnesses }),
    ).toThrow(code(expected, naming));
  });

  test('is refused where a Region follows a witness', () => {
    const regions = [{ name: EU }, { name: US, follows: AP }];
    expect(() =>
      parseGroup({
        group: 'orders',
        engine: { kind: 'dynamodb', table: 'orders', key },
        regions,
        witnesses: [AP],
      }),
    ).toThrow(code('CONFIG_INVALID', AP));
  });

  test('is refused with a name that is none', () => {
    expect(() => group({}, [EU, 'Ireland'])).toThrow(code('CONFIG_INVALID', 'Ireland'));
    expect(() =>
      parseGroup({
        group: 'a',
        engine: { kind: 'dynamodb', table: 't', key },
        regions: [{ name: EU }, { name: US }],
      }),
    ).toThrow(code('CONFIG_INVALID', '"a"'));
  });
});
