import { mkdir, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { DrillReport } from '#lib/local/drill/drill-report.ts';
import { htmlReport } from '#lib/local/drill/html-report.ts';

/** Where a report was written: absolute paths. */
export type ReportFiles = { readonly json: string; readonly html: string };

/**
 * Writes a drill's report as JSON and as a page.
 *
 * @param atMs when the drill ended, Unix ms: part of the names.
 */
export async function writeReport(report: DrillReport, folder: string, atMs: number): Promise<ReportFiles> {
  const time = new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '-');
  const base = resolve(folder, `understudy-drill-${report.scenario}-${time}Z`);
  const files = { json: `${base}.json`, html: `${base}.html` };
  await mkdir(folder, { recursive: true });
  await writeFile(files.json, `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(files.html, htmlReport(report));
  return files;
}
