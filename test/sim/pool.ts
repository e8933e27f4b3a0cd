import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Result } from './run-seed.ts';

export type Job = { readonly seed: number; readonly hours: number; readonly bug?: string | undefined };

/**
 * Runs jobs on all cores, each core one at a time.
 * @param onResult is told of each as it ends; to return false ends them all.
 */
export async function runAll(
  jobs: readonly Job[],
  onResult: (result: Result, job: Job) => boolean,
  cores = availableParallelism(),
): Promise<void> {
  const queue = jobs.values();
  let goesOn = true;
  const work = async (worker: Worker) => {
    try {
      for (const job of queue) {
        if (!goesOn) return;
        const result = await ask(worker, job);
        if (!onResult(result, job)) goesOn = false;
      }
    } finally {
      await worker.terminate();
    }
  };
  const count = Math.min(cores, jobs.length);
  await Promise.all(
    Array.from({ length: count }, () =>
      work(new Worker(new URL('./worker.ts', import.meta.url), { execArgv: [] })),
    ),
  );
}

function ask(worker: Worker, job: Job): Promise<Result> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (result: Result) => {
      worker.off('error', reject);
      resolve(result);
    });
    worker.postMessage(job);
  });
}
