import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { jsonLines, processesOf, understudy } from '../cli/run.ts';

let tmp: string;

beforeEach(async () => {
  tmp = await mkdtemp(join(tmpdir(), 'keep-'));
});
afterEach(async () => {
  await rm(tmp, { recursive: true });
});

test('a drill that is kept has told its end, and takes commands until Ctrl-C', async () => {
  const out = join(tmp, 'reports');
  const drill = understudy(['start', '--scenario', 'switchover', '--keep', '--out', out], tmp);
  await drill.seen('stay up until Ctrl-C');
  const command = async (...args: readonly string[]) => {
    const { status, stdout } = await understudy([...args, '--json'], tmp).finished;
    expect(status).toBe(0);
    return jsonLines(stdout);
  };
  expect(await command('status')).toMatchObject([{ register: { epoch: 2, leader: 'us-east-1' } }]);
  await command('switchover', '--to', 'eu-west-1');
  expect(await command('status')).toMatchObject([{ register: { epoch: 3, leader: 'eu-west-1' } }]);
  drill.child.kill('SIGINT');
  const { status, stdout } = await drill.finished;
  expect(status).toBe(0);
  expect(stdout.indexOf('Drill switchover, profile fast: passed')).toBeGreaterThan(0);
  expect(await readdir(tmp)).toEqual(['reports']);
  expect(await processesOf(tmp)).toEqual([]);
});
