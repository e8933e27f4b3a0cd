import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { ClosingLine } from './test/support/closing-line.ts';

/** Their handlers read the environment once a process, as Lambda has them do: each file wants modules of its own. */
const HANDLERS = 'test/functions/**/*.test.ts';
/** Each brings up a cloud of its own, whose processes take all cores there are: two at a time would vote out each other's leaders. */
const CLOUDS = ['test/embedded/**/*.test.ts', 'test/soak/**/*.test.ts', 'test/cli/start.test.ts'];
const limits = { testTimeout: 120_000, hookTimeout: 120_000 };
/** The servers and commands that tests start are compiled once, not by each process. */
const env = { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/node', import.meta.url)) };

export default defineConfig({
  test: {
    globalSetup: 'test/support/temporary-folder.ts',
    reporters: ['default', new ClosingLine()],
    // Most files wait for servers more than they compute.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          ...limits,
          env,
          name: 'all else',
          include: ['test/**/*.test.ts'],
          exclude: ['test/scenarios/**', HANDLERS, ...CLOUDS],
          // No file leaves anything behind in its process, so modules are loaded once.
          isolate: false,
        },
      },
      { test: { ...limits, env, name: 'handlers', include: [HANDLERS] } },
      {
        test: {
          ...limits,
          env,
          name: 'clouds',
          include: CLOUDS,
          isolate: false,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
