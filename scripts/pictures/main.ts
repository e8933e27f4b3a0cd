import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { draw } from './draw.ts';
import { record } from './record.ts';
import { type Recording, requireStory } from './recording.ts';

/**
 * Makes `docs/pictures` anew: has the drills of docs/DRILLS.md in an embedded cloud, keeps what happened, and draws it. With
 * `--redraw` it draws what was kept: enough where only the drawing has changed. Where the workflow has, that would show
 * a run of the former one among the states of the present one.
 */
const FOLDER = fileURLToPath(new URL('../../docs/pictures', import.meta.url));
const KEPT = join(FOLDER, 'recording.json');

const { values } = parseArgs({ options: { redraw: { type: 'boolean', default: false } } });
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());

const recording: Recording = values.redraw
  ? JSON.parse(readFileSync(KEPT, 'utf8'))
  : await record(interrupted.signal, (line) => console.error(line));
requireStory(recording);
const pictures = draw(recording);
rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
writeFileSync(KEPT, `${JSON.stringify(recording, null, 2)}\n`);
for (const [name, picture] of Object.entries(pictures)) {
  writeFileSync(join(FOLDER, name), picture);
  console.log(`docs/pictures/${name}: ${picture.length} bytes`);
}
