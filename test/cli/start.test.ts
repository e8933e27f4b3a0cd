import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { jsonLines, processesOf, understudy } from './run.ts';

const SHOP = fileURLToPath(new URL('../local/load/shop.sql', import.meta.url));
let tmp: string;

beforeEach(async () => {
  tmp = await mkdtemp(join(tmpdir(), 'cli-'));
  // Where root runs this, a PostgreSQL server is somebody else, who must be let through.
  await chmod(tmp, 0o711);
});

afterEach(async () => {
  expect(await processesOf(tmp), 'processes left behind').toEqual([]);
  const left = (await readdir(tmp)).filter((name) => name.startsWith('understudy-'));
  expect(left, 'files left behind').toEqual([]);
  await rm(tmp, { recursive: true });
});

test('start writes, replicates, compares, and ends with a report and status 0', async () => {
  const run = understudy(['start', 'replicate', '--seconds', '2', '--rate', '40', '--json'], tmp);
  const { status, stdout } = await run.finished;
  expect(status).toBe(0);
  const lines = jsonLines(stdout);
  expect(lines.some(({ kind }) => kind === 'progress')).toBe(true);
  expect(lines.at(-1)).toMatchObject({ kind: 'report', ok: true, records: 80, digestsEqual: true });
  const { lagMs } = lines.at(-1) as { lagMs: { p50: number; p99: number } };
  expect(lagMs.p50).toBeGreaterThan(0);
  expect(lagMs.p99).toBeGreaterThanOrEqual(lagMs.p50);
});

describe('load files', () => {
  const lines = [
    '{"pk":"a","sk":1,"price":12345678901234567890.123456789}',
    '{"pk":"a","sk":2,"tags":["x",null,true]}',
    'not json',
    '{"pk":"b","sk":3}',
  ];

  test('the items of a file are loaded and replicated, a malformed line is named and passed over', async () => {
    const file = join(tmp, 'items.jsonl');
    await writeFile(file, lines.join('\n'));
    const run = understudy(['start', 'replicate', '--load', file, '--key', 'pk,sk'], tmp);
    const { status, stdout } = await run.finished;
    expect(status).toBe(0);
    expect(stdout).toMatch(/LOAD_LINE_MALFORMED.*line 3/);
    expect(stdout).toContain('3 writes acknowledged');
    expect(stdout).toContain('All replicas hold the same items.');
  });

  test('with --strict nothing is started if a line is malformed', async () => {
    const file = join(tmp, 'items.jsonl');
    await writeFile(file, lines.join('\n'));
    const run = understudy(['start', 'replicate', '--load', file, '--key', 'pk,sk', '--strict'], tmp);
    const { status, stdout, stderr } = await run.finished;
    expect(status).toBe(2);
    expect(stderr).toMatch(/LOAD_LINE_MALFORMED.*3/s);
    expect(stdout).not.toContain('Starting');
  });

  test('a drill refuses what it cannot load, too, before anything is started', async () => {
    const file = join(tmp, 'items.jsonl');
    await writeFile(file, lines.join('\n'));
    const refusal = async (...args: readonly string[]) => {
      const { status, stdout, stderr } = await understudy(['start', ...args], tmp).finished;
      expect(stdout).not.toContain('Starting');
      expect(status).toBe(2);
      return stderr;
    };
    expect(await refusal('--load', file, '--key', 'pk,sk', '--strict')).toMatch(/LOAD_LINE_MALFORMED.*3/s);
    expect(await refusal('--load', join(tmp, 'none'), '--key', 'pk')).toContain('LOAD_FILE_UNREADABLE');
    expect(await refusal('--key', 'pk')).toContain('--key is about the file of --load');
  });

  test("a file of SQL makes a user's own tables, which are replicated", async () => {
    const run = understudy(['start', 'replicate', '--engine', 'postgres', '--load', SHOP], tmp);
    const { status, stdout } = await run.finished;
    expect(status).toBe(0);
    expect(stdout).toContain('5 rows of COPY');
    // Beside the accounts of the bank.
    expect(stdout).toContain('205 rows in the database');
    expect(stdout).toContain('All replicas hold the same rows.');
  });

  test('a statement that a database refuses is named, and nothing is left of it', async () => {
    const file = join(tmp, 'shop.sql');
    await writeFile(file, 'CREATE TABLE shop (id int PRIMARY KEY);\nALTER TABLE shop OWNER TO keeper;');
    const { status, stderr } = await understudy(
      ['start', 'replicate', '--engine', 'postgres', '--load', file],
      tmp,
    ).finished;
    expect(status).toBe(2);
    expect(stderr).toMatch(/LOAD_STATEMENT_FAILED: .*shop\.sql, line 2: role "keeper" does not exist/);
  });

  test('a file that is not there is a named failure', async () => {
    const { status, stderr } = await understudy(
      ['start', 'replicate', '--load', join(tmp, 'none'), '--key', 'pk'],
      tmp,
    ).finished;
    expect(status).toBe(2);
    expect(stderr).toContain('LOAD_FILE_UNREADABLE');
  });
});

test('a number out of range is a named failure', async () => {
  const { status, stderr } = await understudy(['start', 'replicate', '--rate', 'fast'], tmp).finished;
  expect(status).toBe(2);
  expect(stderr).toContain('--rate fast is not valid');
});

test('a server that cannot be started is a named failure, and nothing else is left running', async () => {
  const env = { UNDERSTUDY_DYNAMODB: join(tmp, 'no-such-server') };
  const { status, stderr } = await understudy(['start', 'replicate'], tmp, env).finished;
  expect(status).toBe(1);
  expect(stderr).toContain('SERVER_NOT_STARTED');
});

// Moments of the start, of the load, and of the end.
for (const afterMs of [150, 700, 1500, 2500, 5000]) {
  test(`Ctrl-C after ${afterMs} ms leaves no process and no file behind`, async () => {
    const run = understudy(['start', 'replicate', '--seconds', '60', '--json'], tmp);
    await pause(afterMs);
    run.child.kill('SIGINT');
    const { status, signal } = await run.finished;
    expect(status === 130 || signal === 'SIGINT').toBe(true);
  });
}

// While Regions come up, while they are watched, and after the leader's Region is lost.
for (const moment of ['Starting three Regions', 'writes acknowledged', 'are killed']) {
  test(`Ctrl-C in a drill after it said "${moment}" leaves no process and no file behind`, async () => {
    const run = understudy(['start', '--out', join(tmp, 'reports')], tmp);
    await run.seen(moment);
    run.child.kill('SIGINT');
    expect((await run.finished).status).toBe(130);
    expect(await readdir(tmp)).toEqual([]);
  });
}
