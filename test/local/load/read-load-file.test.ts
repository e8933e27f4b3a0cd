import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { MAX_LINE_BYTES } from '#lib/local/load/read-lines.ts';
import { readLoadFile } from '#lib/local/load/read-load-file.ts';
import { items, loadFolder, problems, readAll } from './load-folder.ts';

const folder = loadFolder();
const line = (n: number) => `{"Item":{"pk":{"S":"user#${n}"},"n":{"N":"${n}"}}}`;
const lines = (count: number) => Array.from({ length: count }, (_, n) => `${line(n)}\n`).join('');

describe('the lines of a load file', () => {
  test('are the same plain and compressed, whatever the name says', async () => {
    const plain = await folder.file(lines(5000), 'plain.gz');
    const compressed = await folder.file(gzipSync(lines(5000)), 'compressed.json');
    const expected = await readAll(plain, ['pk']);
    expect(items(expected)).toHaveLength(5000);
    expect(await readAll(compressed, ['pk'])).toEqual(expected);
  });

  test('go on over the members of a gzip file', async () => {
    const path = await folder.file(Buffer.concat([gzipSync(lines(2)), gzipSync(lines(3))]));
    expect(items(await readAll(path, ['pk']))).toHaveLength(5);
  });

  test('may end in CRLF, begin with a byte order mark, be blank, and lack the last line end', async () => {
    const path = await folder.file(`\uFEFF${line(1)}\r\n\r\n  \t\n${line(2)}\r\n\n${line(3)}`);
    const read = await readAll(path, ['pk']);
    expect(problems(read)).toEqual([]);
    expect(read.map((each) => each.line)).toEqual([1, 4, 6]);
  });

  test('may hold megabytes, cut anywhere by the chunks they come in', async () => {
    const wide = `{"pk":"ü${'\\u00fc'.repeat(100_000)}"${' '.repeat(3 << 20)}, "é": "✓"}`;
    const path = await folder.file(`{"pk":"a"}\n${wide}\n{"pk":"b"}\n`);
    const read = await readAll(path, ['é']);
    expect(problems(read)).toHaveLength(2);
    expect(items(read)).toEqual([{ pk: { S: `ü${'ü'.repeat(100_000)}` }, é: { S: '✓' } }]);
  });

  test('that are longer than any item are malformed, and the next one is read', async () => {
    const path = await folder.file(`${line(1)}\n{"pk":"${'x'.repeat(MAX_LINE_BYTES)}"}\n${line(3)}\n`);
    const read = await readAll(path, ['pk']);
    expect(read.map(({ kind }) => kind)).toEqual(['item', 'malformed', 'item']);
    expect(problems(read)[0]).toContain('line 2: it is longer than 8 MiB');
  });

  test('that are not UTF-8 are malformed, and the next one is read', async () => {
    const path = await folder.file(
      Buffer.concat([Buffer.from(`${line(1)}\n{"pk":"`), Buffer.of(0xe9), Buffer.from(`"}\n${line(3)}`)]),
    );
    const read = await readAll(path, ['pk']);
    expect(read.map(({ kind }) => kind)).toEqual(['item', 'malformed', 'item']);
    expect(problems(read)[0]).toContain('line 2: it is not UTF-8');
  });

  test('are of the one format that the first item has', async () => {
    const typed = await readAll(await folder.file(`${line(1)}\n{"pk":"plain"}\n`), ['pk']);
    expect(problems(typed)).toEqual([expect.stringContaining('line 2: it is not {"Item":{…}}')]);
    const plain = await readAll(await folder.file(`{"pk":"plain"}\n${line(1)}\n`), ['pk']);
    expect(problems(plain)).toEqual([expect.stringContaining('the first item was plain JSON')]);
  });

  test('can be left half-way', async () => {
    const path = await folder.file(gzipSync(lines(100_000)));
    for await (const each of readLoadFile(path, { key: ['pk'] })) {
      expect(each.line).toBe(1);
      break;
    }
  });

  test('leave memory flat: 200,000 hold no more than 20,000', async () => {
    const path = await bigFile('many', 200_000);
    expect((await stat(path)).size).toBeGreaterThan(24 << 20);
    const live = await liveMemory(path, 20_000);
    expect(live).toHaveLength(10);
    expect(Math.max(...live) - live[0]!).toBeLessThan(4 << 20);
  });
});

describe('the key of an item', () => {
  const keyed = async (...all: string[]) => await readAll(await folder.file(all.join('\n')), ['pk', 'sk']);

  test('has the types of the first item', async () => {
    const read = await keyed(
      '{"pk":"a","sk":1}',
      '{"pk":"a","sk":"2"}',
      '{"pk":"a"}',
      '{"sk":1}',
      '{"pk":"b","sk":2}',
    );
    expect(items(read)).toHaveLength(2);
    expect(problems(read)).toEqual([
      expect.stringContaining(
        'LOAD_KEY_MISSING: line 2: the key attribute sk is S, and the first item made it N',
      ),
      expect.stringContaining('LOAD_KEY_MISSING: line 3: the key attribute sk is not there'),
      expect.stringContaining('LOAD_KEY_MISSING: line 4: the key attribute pk is not there'),
    ]);
  });

  test('is a string, a number or binary', async () => {
    const read = await keyed('{"pk":true,"sk":1}', '{"pk":"a","sk":1}');
    expect(problems(read)).toEqual([
      expect.stringContaining('line 1: the key attribute pk is BOOL, not S, N or B'),
    ]);
    const bytes = await keyed('{"Item":{"pk":{"B":"AA=="},"sk":{"N":"1"}}}');
    expect(items(bytes)).toEqual([{ pk: { B: Buffer.of(0) }, sk: { N: '1' } }]);
  });

  test('is neither empty nor longer than DynamoDB takes', async () => {
    const read = await keyed(
      '{"pk":"","sk":"a"}',
      `{"pk":"${'x'.repeat(2048)}","sk":"${'x'.repeat(1024)}"}`,
      `{"pk":"${'x'.repeat(2049)}","sk":"a"}`,
      `{"pk":"a","sk":"${'é'.repeat(513)}"}`,
    );
    expect(items(read)).toHaveLength(1);
    expect(problems(read)).toEqual([
      expect.stringContaining('line 1: the key attribute pk is empty'),
      expect.stringContaining('line 3: the key attribute pk has 2049 bytes'),
      expect.stringContaining('line 4: the key attribute sk has 1026 bytes'),
    ]);
  });

  test('may be called __proto__, and is not found where it is inherited', async () => {
    expect(items(await readAll(await folder.file('{"__proto__":"a"}'), ['__proto__']))).toHaveLength(1);
    expect(problems(await readAll(await folder.file('{"pk":"a"}'), ['toString']))).toHaveLength(1);
  });
});

describe('a load file that cannot be read', () => {
  const unreadable = async (path: string, what: string) =>
    await expect(readAll(path, ['pk'])).rejects.toMatchObject({
      code: 'LOAD_FILE_UNREADABLE',
      message: expect.stringContaining(what),
    });

  test('is told apart by what is wrong', async () => {
    await unreadable(folder.path('nowhere.json'), 'does not exist');
    await unreadable('/dev/null', 'not a regular file');
    await unreadable(await folder.file(Buffer.of(0x50, 0x4b, 3, 4, 20, 0, 0)), 'a zip archive');
    await unreadable(await folder.file(Buffer.from('28b52ffd2400', 'hex')), 'zstd');
    await unreadable(await folder.file(Buffer.from(`\uFEFF${line(1)}`, 'utf16le')), 'UTF-16');
    await unreadable(await folder.file(Buffer.of(0x7f, 0x45, 0x4c, 0x46, 0)), 'is not text');
    await unreadable(await folder.file(gzipSync(Buffer.alloc(100))), 'is not text');
  });

  test('for a gzip that ends too early names the last whole line, after all of them were given', async () => {
    const whole = gzipSync(noisyLines(2000));
    const path = await folder.file(whole.subarray(0, whole.length / 2));
    let last = 0;
    const reading = (async () => {
      for await (const each of readLoadFile(path, { key: ['pk'] })) last = each.line;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'LOAD_FILE_UNREADABLE' });
    await reading.catch((error: Error) =>
      expect(error.message).toContain(`after line ${last} (unexpected end of file)`),
    );
    expect(last).toBeGreaterThan(500);
    expect(last).toBeLessThan(1500);
  });

  test('for a gzip with a wrong byte says so', async () => {
    const bytes = gzipSync(noisyLines(2000));
    bytes[bytes.length >> 1]! ^= 0xff;
    expect(() => gunzipSync(bytes)).toThrow();
    await unreadable(await folder.file(bytes), 'is broken gzip after line');
  });
});

/** Lines that compress badly, so that half of the compressed bytes is about half of the lines. */
function noisyLines(count: number): string {
  let seed = 1;
  const word = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return seed.toString(36);
  };
  return Array.from({ length: count }, () => `{"pk":"${Array.from({ length: 40 }, word).join('')}"}\n`).join(
    '',
  );
}

async function bigFile(name: string, count: number): Promise<string> {
  const path = folder.path(name);
  const file = createWriteStream(path);
  const padding = 'x'.repeat(100);
  for (let at = 0; at < count; at += 2000) {
    const some = Array.from(
      { length: 2000 },
      (_, n) => `{"Item":{"pk":{"S":"${at + n}"},"p":{"S":"${padding}"}}}\n`,
    );
    if (!file.write(some.join(''))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
  return path;
}

/** Bytes that stay in use, measured each `every` items, of a process that reads a load file. */
async function liveMemory(path: string, every: number): Promise<readonly number[]> {
  const script = `
    import { readLoadFile } from '#lib/local/load/read-load-file.ts';
    const live = [];
    let items = 0;
    for await (const line of readLoadFile(process.argv[1], { key: ['pk'] })) {
      items += 1;
      if (items % ${every} !== 0) continue;
      gc();
      const { heapUsed, external } = process.memoryUsage();
      live.push(heapUsed + external);
    }
    console.log(JSON.stringify(live));`;
  const flags = ['--expose-gc', '--input-type=module', '-e', script, path];
  const { stdout } = await promisify(execFile)(process.execPath, flags);
  return JSON.parse(stdout);
}
