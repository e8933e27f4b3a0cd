import { expect, test } from 'vitest';
import { Duty } from '#functions/sentinel/duty.ts';

/** A duty of every 100 ms, in a time that the test moves, whose work ends when the test says so. */
function duty() {
  let nowMs = 0;
  const begun: PromiseWithResolvers<void>[] = [];
  const errors: unknown[] = [];
  const each = new Duty({
    everyMs: 100,
    steadyMs: () => nowMs,
    work: () => {
      const work = Promise.withResolvers<void>();
      begun.push(work);
      return work.promise;
    },
    onError: (error) => errors.push(error),
  });
  return {
    begun,
    errors,
    done: () => each.done,
    attend: (atMs: number) => {
      nowMs = atMs;
      each.attend();
    },
  };
}

test('a duty is begun at once, and again when its time has come', async () => {
  const { attend, begun, done } = duty();
  attend(0);
  begun[0]!.resolve();
  await done();
  attend(99);
  expect(begun).toHaveLength(1);
  attend(100);
  expect(begun).toHaveLength(2);
});

test('a duty that takes long is not begun a second time meanwhile', async () => {
  const { attend, begun, done } = duty();
  attend(0);
  attend(500);
  expect(begun).toHaveLength(1);
  begun[0]!.resolve();
  await done();
  attend(500);
  expect(begun).toHaveLength(2);
});

test('a duty that fails says so, and is attended to again', async () => {
  const { attend, begun, done, errors } = duty();
  attend(0);
  begun[0]!.reject(new Error('throttled'));
  await done();
  expect(errors).toEqual([new Error('throttled')]);
  attend(100);
  expect(begun).toHaveLength(2);
});
