import { ListTablesCommand } from '@aws-sdk/client-dynamodb';
import type { Group } from './group.ts';

/** Within this time a Region of an emulator has answered long ago, ms. */
const ANSWER_MS = 1_500;

/**
 * Does something while a Region is stopped, and shows that it was so from the beginning to the end. Where nobody can stop one,
 * it is done all the same, and said.
 */
export async function whileUnreachable<T>(
  group: Group,
  region: string,
  work: () => Promise<T>,
  answerMs = ANSWER_MS,
): Promise<T> {
  const { freezing } = group.target;
  if (freezing === undefined) {
    group.report.say(`      while ${region} answers: nobody can stop a Region of this cloud`);
    return work();
  }
  await freezing.lose(group, region);
  try {
    await assertSilent(group, region, answerMs);
    const done = await work();
    await assertSilent(group, region, answerMs);
    return done;
  } finally {
    await freezing.bringBack(group, region);
  }
}

async function assertSilent(group: Group, region: string, answerMs: number): Promise<void> {
  const abortSignal = AbortSignal.timeout(answerMs);
  try {
    await group.dynamodb(region).send(new ListTablesCommand({ Limit: 1 }), { abortSignal });
  } catch (error) {
    if (abortSignal.aborted) return;
    throw error;
  }
  throw new Error(`${region} answers, and was to be unreachable`);
}
