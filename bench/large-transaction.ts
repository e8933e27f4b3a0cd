import { type Carried, carryTransaction, manyRows, wideRows } from '../test/soak/large-transaction.ts';
import { startTestPostgres } from '../test/support/postgres.ts';
import type { BenchResult } from './result.ts';

/** One transaction of a million rows, and one of 200 MB: the most memory that a process takes to capture or to apply it. */
export async function benchLargeTransactions(): Promise<readonly BenchResult[]> {
  const server = await startTestPostgres({ max_wal_size: '4GB' });
  const servers = { leader: server, follower: server };
  const results = (name: string, { peakBytes, seconds }: Carried): BenchResult[] => [
    { name: `${name}-capture-memory`, value: peakBytes.capture / 1e6, unit: 'MB', goal: '<= 300' },
    { name: `${name}-apply-memory`, value: peakBytes.apply / 1e6, unit: 'MB', goal: '<= 300' },
    { name: `${name}-seconds`, value: seconds, unit: 's', goal: null },
  ];
  try {
    return [
      ...results('million-rows', await carryTransaction(servers, manyRows(1_000_000), true)),
      ...results('200-megabytes', await carryTransaction(servers, wideRows(2_000), true)),
    ];
  } finally {
    await server[Symbol.asyncDispose]();
  }
}
