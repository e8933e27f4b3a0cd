import { defineConfig } from 'vitest/config';
import { ClosingLine } from './test/support/closing-line.ts';

/** Drills in real time: one after the other, as each wants the machine for itself. */
export default defineConfig({
  test: {
    globalSetup: 'test/support/temporary-folder.ts',
    include: ['test/scenarios/**/*.test.ts'],
    reporters: ['verbose', new ClosingLine()],
    fileParallelism: false,
    testTimeout: 180_000,
  },
});
