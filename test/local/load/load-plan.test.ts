import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { planLoad } from '#lib/local/load/load-plan.ts';
import { items, loadFolder, readAll } from './load-folder.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/load/${name}`, import.meta.url));
const folder = loadFolder();
const lenient = { key: ['pk'], strict: false };
const strict = { key: ['pk'], strict: true };

describe('planLoad', () => {
  test('tells format, key and count before anything is loaded', async () => {
    expect(await planLoad(fixture('products.jsonl'), { key: ['Id', 'Title'], strict: true })).toEqual({
      format: 'dynamodb-json',
      key: [
        { name: 'Id', type: 'N' },
        { name: 'Title', type: 'S' },
      ],
      items: 2,
      malformed: [],
      malformedCount: 0,
    });
    const plain = await folder.file('{"pk":"a"}\n\n{"pk":"b"}\n');
    expect(await planLoad(plain, lenient)).toMatchObject({
      format: 'json',
      key: [{ name: 'pk', type: 'S' }],
      items: 2,
    });
  });

  test('lists the first malformed lines and counts the rest', async () => {
    const path = await folder.file(`{"pk":"a"}\n${'{"pk":\n'.repeat(30)}{"pk":"b"}\n`);
    const plan = await planLoad(path, lenient);
    expect(plan).toMatchObject({ items: 2, malformedCount: 30 });
    expect(plan.malformed.map(({ line }) => line)).toEqual(Array.from({ length: 20 }, (_, n) => n + 2));
    expect(plan.malformed[0]!.error).toMatchObject({
      code: 'LOAD_LINE_MALFORMED',
      message: expect.stringContaining('line 2'),
    });
  });

  test('agrees with the reader', async () => {
    const path = await folder.file(
      'nonsense\n{"sk":1}\n{"pk":1}\n{"pk":"a"}\n{"pk":2}\n{"Item":{"pk":{"N":"3"}}}',
    );
    const plan = await planLoad(path, lenient);
    const read = await readAll(path, ['pk']);
    expect(plan).toMatchObject({ items: 2, malformedCount: 4, key: [{ name: 'pk', type: 'N' }] });
    expect(items(read)).toHaveLength(plan.items);
    expect(plan.malformed.map(({ line }) => line)).toEqual(
      read.filter(({ kind }) => kind === 'malformed').map(({ line }) => line),
    );
  });

  test('with strict refuses the file for one malformed line, and names each', async () => {
    const path = await folder.file('{"pk":"a"}\n{"pk":}\n{"pk":"b"}\n{"sk":1}\n');
    await expect(planLoad(path, strict)).rejects.toMatchObject({
      code: 'LOAD_LINE_MALFORMED',
      message: expect.stringMatching(
        /: 2 of 4 lines of .* are not items: line 2, line 4\. First, line 2: it is not JSON/,
      ),
      next: expect.stringContaining('without --strict'),
    });
    expect(await planLoad(path, lenient)).toMatchObject({ items: 2, malformedCount: 2 });
  });

  test('refuses a file in which no line is an item, strict or not', async () => {
    const csv = await folder.file('pk,n\na,1\nb,2\n');
    await expect(planLoad(csv, lenient)).rejects.toMatchObject({
      code: 'LOAD_LINE_MALFORMED',
      message: expect.stringContaining('3 of 3 lines'),
    });
    const pretty = await folder.file('{\n  "pk": "a"\n}\n');
    await expect(planLoad(pretty, lenient)).rejects.toMatchObject({
      next: expect.stringContaining('jq -c .'),
    });
    const array = await folder.file('[{"pk":"a"}]');
    await expect(planLoad(array, lenient)).rejects.toMatchObject({
      next: expect.stringContaining("jq -c '.[]'"),
    });
  });

  test('refuses a file that holds nothing', async () => {
    for (const content of ['', '\n\n', gzipSync('')]) {
      await expect(planLoad(await folder.file(content), lenient)).rejects.toMatchObject({
        code: 'LOAD_FILE_UNREADABLE',
        message: expect.stringContaining('holds no items'),
      });
    }
  });

  test('finds a broken end before anything is loaded', async () => {
    const bytes = gzipSync('{"pk":"a"}\n'.repeat(1000));
    await expect(planLoad(await folder.file(bytes.subarray(0, -4)), lenient)).rejects.toMatchObject({
      code: 'LOAD_FILE_UNREADABLE',
      message: expect.stringContaining('broken gzip'),
    });
  });
});

describe('the key of the table', () => {
  test('is never guessed: without --key the candidates are named', async () => {
    const path = await folder.file(
      '{"id":"a","at":1,"tags":[],"x":1,"only":"first"}\nnonsense\n{"at":2,"id":"b","tags":[],"x":"1"}\n',
    );
    const expected = {
      code: 'LOAD_KEY_MISSING',
      message: expect.stringContaining('all of the first 2 items have id, at.'),
      next: expect.stringContaining('--key id'),
    };
    await expect(planLoad(path, { strict: false })).rejects.toMatchObject(expected);
    await expect(readAll(path)).rejects.toMatchObject(expected);
    await expect(planLoad(fixture('products.jsonl'), { strict: false })).rejects.toMatchObject({
      code: 'LOAD_KEY_MISSING',
      message: expect.stringContaining('have Id, Title.'),
    });
  });

  test('that no item has is answered with the candidates', async () => {
    const path = await folder.file('{"id":"a"}\n{"id":"b"}\n');
    await expect(planLoad(path, lenient)).rejects.toMatchObject({
      code: 'LOAD_KEY_MISSING',
      message: expect.stringMatching(/no item of .* has the key pk .*all of the first 2 items have id/),
    });
  });

  test('inside typed values without the wrapper of an export is explained', async () => {
    const path = await folder.file('{"pk":{"S":"a"}}\n');
    const expected = { code: 'LOAD_KEY_MISSING', next: expect.stringContaining("jq -c '{Item:.}'") };
    await expect(planLoad(path, lenient)).rejects.toMatchObject(expected);
    await expect(planLoad(path, { strict: false })).rejects.toMatchObject(expected);
  });

  test.each([[[]], [['a', 'b', 'c']], [['']], [['a', 'a']], [['_understudy']], [['n'.repeat(256)]]])(
    'cannot be named %j',
    async (key) => {
      await expect(planLoad(fixture('products.jsonl'), { key, strict: false })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
    },
  );
});

describe('the folder of an export', () => {
  const manifest = (...names: string[]) =>
    names
      .map((name) => `${JSON.stringify({ itemCount: 1, dataFileS3Key: `AWSDynamoDB/0-1/data/${name}` })}\n`)
      .join('');

  test('stands for its data files, in the order of their names', async () => {
    await folder.file(gzipSync('{"Item":{"pk":{"S":"b"}}}\n{"Item":1}\n'), 'export/data/b.json.gz');
    await folder.file(gzipSync('{"Item":{"pk":{"S":"a"}}}\n'), 'export/data/a.json.gz');
    await folder.file(gzipSync(''), 'export/data/empty.json.gz');
    await folder.file('{"itemCount":2}', 'export/manifest-summary.json');
    await folder.file('', 'export/_started');
    await folder.file(manifest('b.json.gz', 'a.json.gz', 'empty.json.gz'), 'export/manifest-files.json');
    for (const path of [folder.path('export'), folder.path('export/data')]) {
      expect(items(await readAll(path, ['pk']))).toEqual([{ pk: { S: 'a' } }, { pk: { S: 'b' } }]);
      const plan = await planLoad(path, lenient);
      expect(plan).toMatchObject({ items: 2, malformedCount: 1 });
      expect(plan.malformed[0]).toMatchObject({
        line: 2,
        error: { message: expect.stringContaining('b.json.gz line 2: ') },
      });
      await expect(planLoad(path, strict)).rejects.toThrow('are not items: b.json.gz line 2. First, ');
    }
  });

  test('is refused if a file of its list is missing', async () => {
    await folder.file(gzipSync('{"Item":{"pk":{"S":"a"}}}\n'), 'half/data/a.json.gz');
    await folder.file(manifest('a.json.gz', 'b.json.gz'), 'half/manifest-files.json');
    await expect(planLoad(folder.path('half'), lenient)).rejects.toMatchObject({
      code: 'LOAD_FILE_UNREADABLE',
      message: expect.stringContaining('lacks 1 of the 2 data files of the export, b.json.gz the first'),
    });
    await folder.file('{"dataFileS3Key":5}', 'half/manifest-files.json');
    await expect(planLoad(folder.path('half'), lenient)).rejects.toThrow('is not the list of files');
  });

  test('is refused without data files, or with those of another format', async () => {
    await folder.file('', 'none/readme.txt');
    await expect(planLoad(folder.path('none'), lenient)).rejects.toThrow('a folder without data files');
    await folder.file(gzipSync('$ion_1_0 {Item:{pk:"a"}}'), 'ion/data/a.ion.gz');
    await folder.file(manifest('a.ion.gz'), 'ion/manifest-files.json');
    for (const name of ['ion', 'ion/data']) {
      await expect(planLoad(folder.path(name), lenient)).rejects.toMatchObject({
        code: 'LOAD_FILE_UNREADABLE',
        message: expect.stringContaining('Amazon Ion'),
      });
    }
  });
});
