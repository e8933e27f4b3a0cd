import { type Markup, markup } from '#lib/domain/page/markup.ts';
import { failures, figures, pageOf, section, tableOf } from '#lib/domain/page/page.ts';
import type { DrillReport } from '#lib/local/drill/drill-report.ts';
import {
  CANDIDATE_HEAD,
  candidateRows,
  closingLines,
  DIVERGENT_HEAD,
  divergentRows,
  FENCE_HEAD,
  fenceRows,
  figuresOf,
  momentText,
  secondsText,
  spansOf,
  whatText,
} from '#lib/local/drill/report-facts.ts';
import { timelineSvg } from '#lib/local/drill/timeline-svg.ts';

/** A drill's report as one page that needs nothing else: no script, no other file. */
export function htmlReport(report: DrillReport): string {
  const { scenario, profile, ok, epoch, leader, divergent, divergentSample, timeline } = report;
  return pageOf({
    title: `Understudy drill: ${scenario}`,
    about: [`Profile ${profile}, epoch ${epoch}, leader ${leader}`],
    verdict: ok ? 'passed' : 'failed',
    isGood: ok,
    content: [
      ending(report),
      figures(figuresOf(report)),
      section('Timeline', [timelineSvg(report)]),
      section('Phases of the failover', phaseTable(report)),
      section('Fence of the old leader', tableOf(FENCE_HEAD, fenceRows(report), 'Nobody was fenced.')),
      section('Candidates', tableOf(CANDIDATE_HEAD, candidateRows(report), 'No election took place.')),
      section('Divergent changes', [
        ...(divergent > divergentSample.length
          ? [markup`<p>${divergentSample.length} of ${divergent} are shown.</p>`]
          : []),
        ...tableOf(DIVERGENT_HEAD, divergentRows(report), 'Nothing diverged.'),
      ]),
      section(
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
      ),
    ],
  });
}

function ending(report: DrillReport): Markup {
  const lines = closingLines(report);
  return report.ok ? markup`${lines.map((line) => markup`<p>${line}</p>`)}` : failures(lines);
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
