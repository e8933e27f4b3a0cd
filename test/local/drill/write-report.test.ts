import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { htmlReport } from '#lib/local/drill/html-report.ts';
import { writeReport } from '#lib/local/drill/write-report.ts';
import { temporaryDirectory } from '../until.ts';
import { SAMPLE } from './sample-report.ts';

test('a report is written as JSON and as a page, named for the scenario and the time, in a folder that it makes', async () => {
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, 'drills', 'today');
  const files = await writeReport(SAMPLE, folder, Date.UTC(2025, 10, 23, 23, 14, 5, 999));
  const base = join(folder, 'understudy-drill-region-loss-2025-11-23T23-14-05Z');
  expect(files).toEqual({ json: `${base}.json`, html: `${base}.html` });
  expect(JSON.parse(await readFile(files.json, 'utf8'))).toEqual(SAMPLE);
  expect(await readFile(files.html, 'utf8')).toBe(htmlReport(SAMPLE));
});
