import type { DrillLeg, DrillReport } from '#lib/domain/control/drill.ts';
import { type Markup, markup } from '#lib/domain/page/markup.ts';
import { type Figure, failures, figures, pageOf, section, tableOf } from '#lib/domain/page/page.ts';
import { detailOf, findingsOf } from '#lib/usecases/control/decision-lines.ts';

/** A scheduled drill's report as a page for people, with all that the JSON beside it says. */
export function drillPage(report: DrillReport): string {
  const { approvedBy, begunMs, due, endedMs, group, home, outcome } = report;
  const legs = legsOf(report);
  return pageOf({
    title: `Understudy drill: ${group}, due ${due}`,
    about: [
      `Approved by ${approvedBy}; led by ${home}`,
      `Begun ${new Date(begunMs).toISOString()}, ended ${new Date(endedMs).toISOString()}`,
    ],
    verdict: outcome,
    isGood: outcome === 'passed',
    content: [
      ...(outcome === 'passed' ? [] : [failures([`${report.code}: ${report.why}`])]),
      ...(legs.length === 0 ? [] : [figures(legs.flatMap(figuresOf))]),
      ...legs.flatMap(([way, leg]) => sectionsOf(way, leg)),
    ],
  });
}

type Way = readonly [way: 'There' | 'Back', leg: DrillLeg];

function legsOf(report: DrillReport): readonly Way[] {
  if (report.outcome === 'refused') return [];
  const { back, there } = report;
  return [...(there ? [['There', there] as const] : []), ...(back ? [['Back', back] as const] : [])];
}

function figuresOf([way, { rpo, rtoMs }]: Way): readonly Figure[] {
  return [
    {
      name: `RTO, ${way.toLowerCase()}`,
      value: rtoMs === null ? 'not reached' : secondsText(rtoMs),
      note: 'from the start of the run until a write committed and DNS named the new leader',
    },
    {
      name: `RPO, ${way.toLowerCase()}`,
      value: rpo.records === null ? 'unknown' : `${rpo.records} records`,
      note: 'what it may have lost at the most',
    },
  ];
}

function sectionsOf(
  way: Way[0],
  { end, epoch, from, run, startedMs, timeline, to }: DrillLeg,
): readonly Markup[] {
  const found = timeline.flatMap(({ outcome }) => findingsOf(outcome));
  const rows = (kind: string, fields: readonly string[]) =>
    found.flatMap(([each, values]) => (each === kind ? [fields.map((field) => cellOf(values[field]))] : []));
  const how = end.kind === 'done' ? 'done' : `failed, ${end.code}: ${end.why.replace(/\.$/, '')}`;
  return [
    section(`${way}: ${from} to ${to ?? 'nobody'}, epoch ${epoch}`, [
      ...tableOf(
        ['after', 'step', 'decision', 'what'],
        timeline.map(({ atMs, outcome, step }) => [
          secondsText(atMs - startedMs),
          step,
          String(Object(outcome).outcome),
          detailOf(outcome) ?? '',
        ]),
        'No step was made.',
      ),
      markup`<p>Run ${run}: ${how}.</p>`,
    ]),
    section(
      `${way}: fence of ${from}`,
      tableOf(
        ['rung', 'proven', 'what it rests on'],
        rows('fence-rung', ['rung', 'proven', 'detail']),
        'It was not fenced.',
      ),
    ),
    section(
      `${way}: candidates`,
      tableOf(
        ['Region', 'epoch', 'LSN', 'eligible', 'why'],
        rows('candidate', ['candidate', 'lastEpoch', 'lsn', 'eligible', 'why']),
        'No election took place.',
      ),
    ),
  ];
}

function cellOf(value: string | number | boolean | undefined): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}

function secondsText(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}
