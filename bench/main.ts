import { parseArgs } from 'node:util';
import { table } from '#lib/cli/table.ts';
import { benchEngine } from './engine.ts';
import { benchFailover } from './failover.ts';
import { benchGuard } from './guard.ts';
import { benchLag } from './lag.ts';
import { benchPostgres } from './postgres.ts';
import type { BenchResult } from './result.ts';
import { benchSegment } from './segment.ts';
import { benchSim } from './sim.ts';

/** `npm run bench [-- segment engine lag failover guard postgres sim] [-- --json]`: all of them without a name. */
const BENCHES: Readonly<Record<string, () => Promise<readonly BenchResult[]>>> = {
  segment: () => benchSegment(),
  engine: () => benchEngine(),
  lag: () => benchLag(),
  failover: () => benchFailover(),
  guard: () => benchGuard(),
  postgres: () => benchPostgres(),
  sim: () => benchSim(),
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean' } } });
const unknown = positionals.filter((name) => BENCHES[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(
    `No benchmark ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}.\n`,
  );
  process.exit(2);
}

const results: BenchResult[] = [];
for (const [name, run] of Object.entries(BENCHES)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  process.stderr.write(`${name} …\n`);
  results.push(...(await run()));
}
const rounded = (value: number) => (Number.isInteger(value) ? `${value}` : value.toFixed(3));
const rows = results.map(({ name, value, unit, goal }) => [name, rounded(value), unit, goal ?? '']);
if (!values.json) for (const line of table(['name', 'value', 'unit', 'goal'], rows)) console.log(line);
if (values.json) console.log(JSON.stringify({ kind: 'bench', results }));
