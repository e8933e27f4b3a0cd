import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fenceEpoch, withFence, withoutFence } from '#lib/aws/fence-policy.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';

const tableArn = 'arn:aws:dynamodb:eu-west-1:111122223333:table/orders';
const at = (epoch: number) => ({
  epoch: parseEpoch(epoch),
  tableArn,
  exempt: ['arn:aws:iam::111122223333:role/own'],
});
const epochs = fc.integer({ min: 1, max: 1_000_000 });
/** What a user may have in the policy. */
const theirs = fc.array(
  fc.record({ Sid: fc.constantFrom('Audit', 'Team', 'Understudy'), Effect: fc.constant('Allow') }),
  { minLength: 1, maxLength: 3 },
);

test('a fence says its epoch, replaces one before it, and leaves what the user has as it was', () => {
  fc.assert(
    fc.property(theirs, epochs, epochs, (Statement, first, second) => {
      const policy = JSON.stringify({ Version: '2012-10-17', Id: 'theirs', Statement });
      const fenced = withFence(withFence(policy, at(first)), at(second));
      expect(fenceEpoch(fenced)).toBe(second);
      expect(JSON.parse(fenced).Statement).toHaveLength(Statement.length + 1);
      expect(JSON.parse(withoutFence(fenced)!)).toEqual(JSON.parse(policy));
    }),
  );
});

test('where the user has no policy, nothing is left of it without the fence', () => {
  expect(fenceEpoch(undefined)).toBeUndefined();
  expect(withoutFence(withFence(undefined, at(3)))).toBeUndefined();
});

test('a single statement, which need not be a list, is kept; what is no policy is refused', () => {
  const single = JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Allow' } });
  expect(JSON.parse(withFence(single, at(1))).Statement).toHaveLength(2);
  expect(() => fenceEpoch('[]')).toThrow(expect.objectContaining({ code: 'STORED_ITEM_INVALID' }));
});
