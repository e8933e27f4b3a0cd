import { describe, expect, test } from 'vitest';
import { MRSC, refuseUnspanned } from '#lib/domain/control/register-config.ts';
import { parseRegionId } from '#lib/domain/ids.ts';

const spanned = (...regions: readonly string[]) => refuseUnspanned(regions.map(parseRegionId));

describe('an MRSC table spans', () => {
  test.each(Object.entries(MRSC.sets))('any three Regions of the %s set', (_, set) => {
    for (const left of set.length === 3 ? [''] : set) {
      expect(() => spanned(...set.filter((each) => each !== left))).not.toThrow();
    }
  });

  test.each([
    [['eu-west-1', 'us-east-1', 'eu-central-1'], 'us-east-1 is not in the EU Region set'],
    [['us-west-1', 'us-east-1', 'ca-central-1'], 'us-west-1 and ca-central-1 are not in the US Region set'],
    [['sa-east-1', 'af-south-1', 'me-south-1'], 'they are in none of its Region sets'],
    [['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-central-1'], 'exactly 3 Regions, and the group has 4'],
    [['ap-northeast-1', 'ap-northeast-2'], 'exactly 3 Regions, and the group has 2'],
  ])('not %j', (regions, why) => {
    expect(() => spanned(...regions)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(new RegExp(`^CONFIG_INVALID: register: .*${why}`)),
        next: expect.stringMatching(
          /^Use Register\.quorum, .*EU \(eu-west-1, eu-west-2, eu-west-3, eu-central-1\)/,
        ),
      }),
    );
  });

  test('by a list that says when it was read, and where', () => {
    expect(MRSC.asOf).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(MRSC.source).toMatch(/^https:\/\/docs\.aws\.amazon\.com\//);
  });
});
