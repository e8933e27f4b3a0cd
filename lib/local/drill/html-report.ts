import type { DrillReport } from '#lib/local/drill/drill-report.ts';
import { type Markup, markup } from '#lib/local/drill/markup.ts';
import {
  CANDIDATE_HEAD,
  candidateRows,
  closingLines,
  DIVERGENT_HEAD,
  divergentRows,
  FENCE_HEAD,
  type Figure,
  fenceRows,
  figuresOf,
  momentText,
  secondsText,
  spansOf,
  whatText,
} from '#lib/local/drill/report-facts.ts';
import { REPORT_STYLE } from '#lib/local/drill/report-style.ts';
import { timelineSvg } from '#lib/local/drill/timeline-svg.ts';

/** A drill's report as one page that needs nothing else: no script, no other file. */
export function htmlReport(report: DrillReport): string {
  const { scenario, profile, ok, epoch, leader, divergent, divergentSample, timeline } = report;
  const title = `Understudy drill: ${scenario}`;
  const page = markup`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>${title}, profile ${profile}: ${ok ? 'passed' : 'failed'}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<header>
<h1>${title} <span class="${ok ? 'passed' : 'failed'}">${ok ? 'passed' : 'failed'}</span></h1>
<p>Profile ${profile}, epoch ${epoch}, leader ${leader}</p>
</header>
${endSection(report)}
<section class="figures">${figuresOf(report).map(figureCard)}</section>
${section('Timeline', [timelineSvg(report)])}
${section('Phases of the failover', phaseTable(report))}
${section('Fence of the old leader', tableOf(FENCE_HEAD, fenceRows(report), 'Nobody was fenced.'))}
${section('Candidates', tableOf(CANDIDATE_HEAD, candidateRows(report), 'No election took place.'))}
${section('Divergent changes', [
  ...(divergent > divergentSample.length
    ? [markup`<p>${divergentSample.length} of ${divergent} are shown.</p>`]
    : []),
  ...tableOf(DIVERGENT_HEAD, divergentRows(report), 'Nothing diverged.'),
])}
${section(
  'Events',
  tableOf(
    ['#', 'time', 'phase', 'where', 'what'],
    timeline.map((event, index) => [
      `${index + 1}`,
      momentText(event.atMs),
      event.phase,
      event.at,
      whatText(event),
    ]),
    'Nothing happened.',
  ),
)}
</body>
</html>
`;
  return page.text;
}

function endSection(report: DrillReport): Markup {
  const lines = closingLines(report);
  if (report.ok) return markup`${lines.map((line) => markup`<p>${line}</p>`)}`;
  return markup`<section class="failures"><h2>What failed</h2><ul>${lines.map((line) => markup`<li>${line}</li>`)}</ul></section>`;
}

function section(title: string, content: readonly Markup[]): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>`;
}

function figureCard({ name, value, note }: Figure): Markup {
  return markup`<div class="figure"><h3>${name}</h3><p class="value">${value}</p><p class="note">${note}</p></div>`;
}

function phaseTable(report: DrillReport): readonly Markup[] {
  const spans = spansOf(report);
  if (spans.length === 0) return [markup`<p>There was none.</p>`];
  const longest = Math.max(1, ...spans.map(({ ms }) => ms));
  const rows = spans.map(
    ({ phase, ms }) =>
      markup`<tr class="p-${phase}"><th>${phase}</th><td class="number">${secondsText(ms)}</td><td class="share"><div style="width:${((ms / longest) * 100).toFixed(2)}%"></div></td></tr>`,
  );
  return [markup`<table class="phases"><tbody>${rows}</tbody></table>`];
}

function tableOf(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  none: string,
): readonly Markup[] {
  if (rows.length === 0) return [markup`<p>${none}</p>`];
  const body = rows.map((cells) => markup`<tr>${cells.map((cell) => markup`<td>${cell}</td>`)}</tr>\n`);
  return [
    markup`<table><thead><tr>${head.map((name) => markup`<th>${name}</th>`)}</tr></thead><tbody>${body}</tbody></table>`,
  ];
}
