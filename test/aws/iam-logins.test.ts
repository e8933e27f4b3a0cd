import { expect, test } from 'vitest';
import { IamLogins } from '#lib/aws/iam-logins.ts';

function loginsAt(time: { now: number }) {
  let signed = 0;
  const sign = async () => `token ${++signed}`;
  return new IamLogins(sign, { now: () => time.now });
}

test('a token is used for ten of the fifteen minutes that RDS takes it for, and then another', async () => {
  const time = { now: 0 };
  const logins = loginsAt(time);
  expect(await logins.current()).toEqual({ password: 'token 1' });
  time.now = 10 * 60_000 - 1;
  expect(await logins.current()).toEqual({ password: 'token 1' });
  time.now = 10 * 60_000;
  expect(await logins.current()).toEqual({ password: 'token 2' });
});

test('a token that was refused is used no more; one that took its place is', async () => {
  const logins = loginsAt({ now: 0 });
  const refused = await logins.current();
  expect(await logins.current(refused)).toEqual({ password: 'token 2' });
  expect(await logins.current(refused)).toEqual({ password: 'token 2' });
});

test('a role without credentials is said to have none', async () => {
  const logins = new IamLogins(() => Promise.reject(new Error('no credentials')), { now: () => 0 });
  await expect(logins.current()).rejects.toMatchObject({ code: 'LOGIN_UNREADABLE' });
});
