import { relative } from 'node:path';
import { table } from '#lib/cli/table.ts';
import type { DrillEvent, DrillReport } from '#lib/local/drill/drill-report.ts';
import type { Paint } from '#lib/local/drill/paint.ts';
import {
  CANDIDATE_HEAD,
  candidateRows,
  closingLines,
  FENCE_HEAD,
  fenceRows,
  figuresOf,
  momentText,
  secondsText,
  spansOf,
  whatText,
} from '#lib/local/drill/report-facts.ts';
import type { ReportFiles } from '#lib/local/drill/write-report.ts';

const TIME_WIDTH = 9;
const PHASE_WIDTH = 'first-write'.length;
const REGION_WIDTH = 'ap-southeast-1'.length;
/** Columns below which nothing is aligned any more. */
const NARROW = 72;
const BAR_WIDTH = 40;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** Lines of an event: time since the fault, phase, place and a sentence that is wrapped under itself. */
export function eventLines(event: DrillEvent, width: number, paint: Paint): readonly string[] {
  const time = momentText(event.atMs);
  const [at, what] = [printable(event.at), printable(whatText(event))];
  const isNarrow = width < NARROW;
  const prefix = isNarrow
    ? [time, event.phase, `${at}:`]
    : [time.padStart(TIME_WIDTH), event.phase.padEnd(PHASE_WIDTH), at.padEnd(REGION_WIDTH)];
  const gap = isNarrow ? ' ' : '  ';
  const taken = prefix.join(gap).length + gap.length;
  const indent = isNarrow ? 2 : taken;
  const [first = '', ...rest] = wrap(what, width - taken, width - indent);
  const [when, phase, where] = prefix;
  return [
    [when, paint(event.phase, phase!), where, first].join(gap).trimEnd(),
    ...rest.map((line) => `${' '.repeat(indent)}${line}`),
  ];
}

/** The end of a drill for people. */
export function reportLines(
  report: DrillReport,
  files: ReportFiles,
  width: number,
  paint: Paint,
): readonly string[] {
  const { scenario, profile, ok } = report;
  const verdict = ok ? paint('good', 'passed') : paint('bad', 'failed');
  const candidates = candidateRows(report).map((cells) => cells.map(printable));
  const rungs = fenceRows(report).map((cells) => cells.map(printable));
  return [
    '',
    `${paint('heading', `Drill ${scenario}, profile ${profile}:`)} ${verdict}`,
    '',
    ...figureLines(report, width, paint),
    '',
    ...phaseLines(report, width, paint),
    ...(rungs.length === 0 ? [] : [...tableLines(FENCE_HEAD, rungs, width), '']),
    ...(candidates.length === 0 ? [] : [...tableLines(CANDIDATE_HEAD, candidates, width), '']),
    `Report: ${pathText(files.html)}`,
    `        ${pathText(files.json)}`,
    '',
    ...(ok ? [] : [paint('bad', 'What failed:')]),
    ...closingLines(report).flatMap((line) => wrap(printable(ok ? line : `- ${line}`), width, width)),
  ];
}

/** A table whose last column is wrapped under itself. */
function tableLines(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
): readonly string[] {
  const starts = table(
    [...head.slice(0, -1), '|'],
    rows.map((cells) => [...cells.slice(0, -1), '|']),
  ).map((line) => line.slice(0, -1));
  const indent = starts[0]!.length;
  return [head, ...rows].flatMap((cells, index) => {
    const [first = '', ...rest] = wrap(cells.at(-1)!, width - indent, width - indent);
    return [`${starts[index]}${first}`, ...rest.map((line) => `${' '.repeat(indent)}${line}`)];
  });
}

function figureLines(report: DrillReport, width: number, paint: Paint): readonly string[] {
  const figures = figuresOf(report);
  const nameWidth = Math.max(...figures.map(({ name }) => name.length));
  const valueWidth = Math.max(...figures.map(({ value }) => value.length));
  return figures.map(({ name, value, note }) => {
    const line = `${name.padEnd(nameWidth)}  ${value.padStart(valueWidth)}`;
    const fits = line.length + 2 + note.length <= width;
    return fits ? `${line}  ${paint('faint', note)}` : line;
  });
}

/** A line a phase, with a bar whose length is in proportion to the longest. */
function phaseLines(report: DrillReport, width: number, paint: Paint): readonly string[] {
  const spans = spansOf(report);
  if (spans.length === 0) return [];
  const longest = Math.max(1, ...spans.map(({ ms }) => ms));
  const timeWidth = secondsText(longest).length;
  const barWidth = Math.max(8, Math.min(BAR_WIDTH, width - PHASE_WIDTH - timeWidth - 4));
  const lines = spans.map(({ phase, ms }) => {
    const bar = barText((ms / longest) * barWidth);
    return `${phase.padEnd(PHASE_WIDTH)}  ${secondsText(ms).padStart(timeWidth)}  ${paint(phase, bar)}`;
  });
  return [...lines, ''];
}

function barText(columns: number): string {
  const eighths = Math.max(1, Math.round(columns * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]!;
}

/** Where a file is, as short as it can be told from here. */
function pathText(file: string): string {
  const near = relative('', file);
  return near.startsWith('..') ? file : near;
}

/** Breaks a text between words; a word longer than a line stays whole. */
export function wrap(text: string, firstWidth: number, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    const room = lines.length <= 1 ? firstWidth : width;
    if (line !== undefined && line.length + 1 + word.length <= room) lines[lines.length - 1] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** On one line, and without what a terminal would take as a command. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}
