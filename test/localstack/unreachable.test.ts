import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { expect, test } from 'vitest';
import type { Group } from './group.ts';
import { whileUnreachable } from './unreachable.ts';

/** A group whose Region hangs while it is lost, if it can be: then a request ends with its signal. */
function groupOf(canBeLost: boolean) {
  const seen: string[] = [];
  let isLost = false;
  const move = (word: string, to: boolean) => async () => {
    seen.push(word);
    isLost = canBeLost && to;
  };
  const send = (_: unknown, { abortSignal }: { abortSignal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      if (!isLost) resolve({ TableNames: [] });
      abortSignal.addEventListener('abort', () => reject(abortSignal.reason));
    });
  const group = {
    target: { freezing: { lose: move('lost', true), bringBack: move('back', false) } },
    dynamodb: () => ({ send }) as unknown as DynamoDBClient,
  } as unknown as Group;
  return { group, seen };
}

test('what is done while a Region is unreachable is done between its loss and its return', async () => {
  const { group, seen } = groupOf(true);
  await whileUnreachable(group, 'eu-west-1', async () => void seen.push('done'), 1);
  expect(seen).toEqual(['lost', 'done', 'back']);
});

test('a Region that answers was not unreachable, and comes back all the same', async () => {
  const { group, seen } = groupOf(false);
  const work = async () => void seen.push('done');
  await expect(whileUnreachable(group, 'eu-west-1', work, 1)).rejects.toThrow('eu-west-1 answers');
  expect(seen).toEqual(['lost', 'back']);
});
