import { type Guarded, spawnGuarded } from '#lib/local/guarded.ts';
import { until } from './until.ts';

/** A program, and a process of its own in a session of its own, as a PostgreSQL server has them. */
export async function spawnFamily(): Promise<{ readonly program: Guarded; readonly child: number }> {
  const source = `
    const { spawn } = require('node:child_process');
    console.log(spawn('sleep', ['1000'], { detached: true }).pid);`;
  const program = await spawnGuarded('family', process.execPath, ['-e', source]);
  await until('its process is there', () => program.stderr() !== '');
  return { program, child: Number.parseInt(program.stderr(), 10) };
}
