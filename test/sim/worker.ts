import { parentPort } from 'node:worker_threads';
import type { Job } from './pool.ts';
import { runSeed } from './run-seed.ts';

// Errors are thrown by the thousand, and nobody reads where from.
Error.stackTraceLimit = 0;

parentPort?.on('message', async (job: Job) => {
  parentPort?.postMessage(await runSeed(job));
});
