import { describe, expect, test } from 'vitest';
import { parseGroupId, parseLaneId, parseRegionId } from '#lib/domain/ids.ts';

const invalid = expect.objectContaining({ code: 'CONFIG_INVALID', next: expect.stringMatching(/\S/) });

describe('names', () => {
  test.each(['eu-west-1', 'us-gov-east-1', 'ap-southeast-2', 'me-central-1', 'eusc-de-east-1'])(
    '%s is a Region',
    (name) => expect(parseRegionId(name)).toBe(name),
  );

  test.each([
    '',
    'eu-west',
    'eu-west-10',
    'EU-WEST-1',
    'eu_west_1',
    ' eu-west-1',
    'eu-west-1\n',
    'west-1',
    'e-west-1',
  ])('%j is no Region', (name) => expect(() => parseRegionId(name)).toThrow(invalid));

  test.each(['abc', 'orders-2', '0-0', 'a'.repeat(40)])('%s is a group', (name) =>
    expect(parseGroupId(name)).toBe(name),
  );

  test.each(['', 'ab', '-ab', 'ab-', 'Orders', 'a b c', 'a#b', 'a/b/c', 'abc\n', 'a'.repeat(41)])(
    '%j is no group',
    (name) => expect(() => parseGroupId(name)).toThrow(invalid),
  );

  test.each(['0', '15', 'a1b2'])('%s is a lane', (name) => expect(parseLaneId(name)).toBe(name));

  test.each(['', '-', 'A', '0#1', 'a'.repeat(17)])('%j is no lane', (name) =>
    expect(() => parseLaneId(name)).toThrow(invalid),
  );
});
