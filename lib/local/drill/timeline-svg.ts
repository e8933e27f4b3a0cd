import { type Markup, markup } from '#lib/domain/page/markup.ts';
import type { DrillEvent, DrillReport } from '#lib/local/drill/drill-report.ts';
import { cut, inRows, type Mark, type Placed } from '#lib/local/drill/label-rows.ts';
import { momentText, type PhaseSpan, secondsText, spansOf, whatText } from '#lib/local/drill/report-facts.ts';

// Px. A character of the labels' monospaced font is 0.6 em wide; a little more leaves room for other fonts.
const WIDTH = 1200;
const LEFT = 130;
const RIGHT = WIDTH - 12;
const AXIS = { left: LEFT, right: RIGHT, characterWidth: 6.8 };
const LANE_NAME_LENGTH = 17;
const ROW = 17;
const PADDING = 6;
const HEAD = 24;
const BAR = 10;

type Lane = { readonly name: string; readonly top: number; readonly height: number; readonly drawn: Markup };

/** A drill drawn over time: its phases, and its events in a lane for each Region, the client and DNS. */
export function timelineSvg(report: DrillReport): Markup {
  const { timeline } = report;
  const spans = spansOf(report);
  const moments = [
    0,
    ...timeline.map(({ atMs }) => atMs),
    ...spans.flatMap(({ fromMs, ms }) => [fromMs, fromMs + ms]),
  ];
  const scale = scaleOf(Math.min(...moments), Math.max(...moments));
  const lanes: Lane[] = [];
  const add = (name: string, placed: readonly Placed<Mark>[], draw: (top: number) => Markup) => {
    const last = lanes.at(-1);
    const top = last === undefined ? HEAD : last.top + last.height;
    const rows = 1 + Math.max(0, ...placed.map(({ row }) => row));
    lanes.push({ name, top, height: rows * ROW + 2 * PADDING, drawn: draw(top + PADDING) });
  };
  const bars = inRows(
    spans.map((span) => barOf(span, scale.x)),
    AXIS,
  );
  add('phases', bars, (top) => markup`${bars.map((bar) => barSvg(bar, top))}`);
  for (const name of laneNames(timeline)) {
    const marks = timeline.flatMap((event, index) =>
      event.at === name ? [markOf(event, index + 1, scale.x(event.atMs))] : [],
    );
    const placed = inRows(marks, AXIS);
    add(name, placed, (top) => markup`${placed.map((each) => eventSvg(each, top))}`);
  }
  const end = lanes.at(-1)!;
  const bottom = end.top + end.height;
  const height = bottom + 38;
  return markup`<svg class="timeline" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Timeline of the drill">
${lanes.map(({ top, height }, index) => markup`<rect class="lane${index % 2}" x="0" y="${top}" width="${WIDTH}" height="${height}"/>`)}
${withoutWrites(spans, scale.x, bottom)}
${scale.ticks.map((ms) => tickSvg(ms, scale.x(ms), bottom))}
<text class="axis" x="${(LEFT + RIGHT) / 2}" y="${height - 6}" text-anchor="middle">seconds since the ${timeline.some(({ phase }) => phase === 'fault') ? 'fault' : 'request'}</text>
${timeline.filter(({ phase }) => phase === 'fault' || phase === 'request' || phase === 'heal').map(({ phase, atMs }) => markup`<line class="moment p-${phase}" x1="${scale.x(atMs)}" x2="${scale.x(atMs)}" y1="${HEAD}" y2="${bottom}"/>`)}
${lanes.map(({ name, top, height, drawn }) => markup`<g class="lane"><text class="name" x="8" y="${top + height / 2 + 4}">${cut(name, LANE_NAME_LENGTH)}<title>${name}</title></text>${drawn}</g>\n`)}</svg>`;
}

/** Regions in the order in which they turn up, then the client and DNS. */
function laneNames(timeline: readonly DrillEvent[]): readonly string[] {
  const names = [...new Set(timeline.map(({ at }) => at))];
  const isRegion = (name: string) => name !== 'client' && name !== 'dns';
  return [...names.filter(isRegion), ...names.filter((name) => !isRegion(name)).toSorted()];
}

type Bar = Mark & { readonly span: PhaseSpan };

function barOf(span: PhaseSpan, x: (ms: number) => number): Bar {
  const { phase, fromMs, ms } = span;
  return { from: x(fromMs), to: x(fromMs + ms), text: `${phase} ${secondsText(ms)}`, span };
}

function barSvg({ mark, row, ...label }: Placed<Bar>, top: number): Markup {
  const y = top + row * ROW;
  const { from, to, span, text } = mark;
  // One that is too short to be seen is drawn a pixel wide.
  const width = round(Math.max(1, to - from));
  return markup`<g class="bar p-${span.phase}"><title>${text}</title><rect x="${from}" y="${y + (ROW - BAR) / 2}" width="${width}" height="${BAR}"/>${labelSvg(label, y)}</g>`;
}

type EventMark = Mark & { readonly event: DrillEvent };

function markOf(event: DrillEvent, number: number, x: number): EventMark {
  return { from: x - 4, to: x + 4, text: `${number} ${whatText(event)}`, event };
}

function eventSvg({ mark, row, ...label }: Placed<EventMark>, top: number): Markup {
  const y = top + row * ROW;
  const { phase, atMs, at } = mark.event;
  return markup`<g class="event p-${phase}"><title>${momentText(atMs)}, ${phase}, ${at}: ${whatText(mark.event)}</title><circle cx="${round((mark.from + mark.to) / 2)}" cy="${y + ROW / 2}" r="4"/>${labelSvg(label, y)}</g>`;
}

function labelSvg({ x, anchor, label }: Pick<Placed<Mark>, 'x' | 'anchor' | 'label'>, y: number): Markup {
  return markup`<text class="label" x="${round(x)}" y="${y + ROW / 2 + 4}" text-anchor="${anchor}">${label}</text>`;
}

/** The time in which no write got through, behind all lanes. */
function withoutWrites(spans: readonly PhaseSpan[], x: (ms: number) => number, bottom: number): Markup {
  const [first, last] = [spans[0], spans.at(-1)];
  if (first === undefined || last === undefined) return markup``;
  const [from, to] = [x(first.fromMs), x(last.fromMs + last.ms)];
  return markup`<rect class="gap" x="${from}" y="${HEAD}" width="${round(to - from)}" height="${bottom - HEAD}"><title>from the last write at the old leader to the first at the new one</title></rect>`;
}

function tickSvg(ms: number, x: number, bottom: number): Markup {
  const seconds = Number((ms / 1000).toFixed(3));
  return markup`<line class="tick" x1="${x}" x2="${x}" y1="${HEAD}" y2="${bottom}"/><text class="axis" x="${x}" y="${HEAD - 8}" text-anchor="middle">${seconds}</text><text class="axis" x="${x}" y="${bottom + 14}" text-anchor="middle">${seconds}</text>`;
}

/** Places moments on the axis; ticks at round numbers, about ten of them. */
function scaleOf(firstMs: number, lastMs: number) {
  const spanMs = Math.max(lastMs - firstMs, 1) * 1.04;
  const startMs = firstMs - spanMs * 0.02;
  const x = (ms: number) => round(LEFT + ((ms - startMs) / spanMs) * (RIGHT - LEFT));
  const power = 10 ** Math.floor(Math.log10(spanMs / 10));
  const step = power * [1, 2, 5, 10].find((times) => times * power * 10 >= spanMs)!;
  const ticks: number[] = [];
  for (let at = Math.ceil(startMs / step); at * step <= startMs + spanMs; at += 1) ticks.push(at * step);
  return { x, ticks };
}

function round(px: number): number {
  return Math.round(px * 100) / 100;
}
