import { describe, expect, test } from 'vitest';
import { type Asked, assertOwn, planReal } from './real-plan.ts';

const asked: Asked = {
  profile: 'sandbox',
  account: '123456789012',
  regions: ['eu-west-1', 'us-east-1', 'ap-southeast-2'],
  yes: false,
  id: 'e2e-0a1b2c',
  env: {},
  credentialsOf: '123456789012',
  existing: [],
};

describe('a run in a real account', () => {
  test('is only planned unless it is said to go', () => {
    expect(planReal(asked).goes).toBe(false);
    expect(planReal({ ...asked, yes: true }).goes).toBe(true);
  });

  test('names all that it touches after itself', () => {
    for (const name of planReal(asked).names) expect(name).toContain('e2e-0a1b2c');
  });

  const refusals: readonly (readonly [string, Partial<Asked>, RegExp])[] = [
    ['no profile', { profile: undefined }, /no profile is named/],
    ['no account', { account: undefined }, /no account is named.*--account 123456789012/],
    [
      'credentials of another account',
      { credentialsOf: '999999999999' },
      /of account 999999999999, not of 123456789012/,
    ],
    [
      'an endpoint from the environment',
      { env: { AWS_ENDPOINT_URL: 'http://x' } },
      /AWS_ENDPOINT_URL would take/,
    ],
    ['keys from the environment', { env: { AWS_ACCESS_KEY_ID: 'AKIA' } }, /AWS_ACCESS_KEY_ID would take/],
    ['two Regions', { regions: ['eu-west-1', 'us-east-1'] }, /2 Regions are named/],
    ['four Regions', { regions: [...asked.regions, 'eu-central-1'] }, /4 Regions are named/],
    ['a Region twice', { regions: ['eu-west-1', 'eu-west-1', 'us-east-1'] }, /named twice/],
    ['a name of one’s own', { id: 'orders' }, /orders is not the name of a run/],
    [
      'what exists already',
      { existing: ['eu-west-1 table understudy-e2e-0a1b2c-log'] },
      /1 resources bear the name/,
    ],
  ];
  test.each(refusals)('is refused with %s', (_, change, message) => {
    expect(() => planReal({ ...asked, yes: true, ...change })).toThrow(message);
  });
});

describe('what a run deletes', () => {
  const tags = { 'understudy:e2e': 'e2e-0a1b2c' };

  test('bears its name and its tag', () => {
    expect(() => assertOwn('e2e-0a1b2c', 'understudy-e2e-0a1b2c-log', tags)).not.toThrow();
  });

  test.each([
    ['another name', 'e2e-0a1b2c', 'understudy-orders-log', tags],
    ['no tag', 'e2e-0a1b2c', 'understudy-e2e-0a1b2c-log', {}],
    ['the tag of another run', 'e2e-0a1b2c', 'understudy-e2e-0a1b2c-log', { 'understudy:e2e': 'e2e-ffffff' }],
    ['a run without a name', '', 'understudy-log', { 'understudy:e2e': '' }],
  ])('is refused with %s', (_, id, name, itsTags) => {
    expect(() => assertOwn(id, name, itsTags as Record<string, string>)).toThrow(/CONFIG_INVALID/);
  });
});
