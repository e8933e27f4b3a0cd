import type { StateMachineDefinition } from 'aws-local-stepfunctions';
import { type Markup, markup } from '#lib/domain/page/markup.ts';
import { cut } from '#lib/local/drill/label-rows.ts';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';
import { picture, px, SANS_WIDTH } from './canvas.ts';
import { markSvg } from './graph-picture.ts';
import { progressOf } from './progress.ts';
import type { RecordedRun } from './recording.ts';

/** Px. `after` and `took` are where their figures end. */
const X = { name: 0, type: 172, after: 310, took: 382, bar: 400, said: 516, end: 1030 };
const BAR = 96;
const ROW = 24;

/** A stay of a run in a state. Ms since the run began. */
type Stay = {
  readonly state: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** What came of it, in a few words. */
  readonly said: string;
};

/** The states of a run in the order in which it went through them: when, for how long, and what each said. */
export function tablePicture(
  definition: StateMachineDefinition,
  run: RecordedRun,
  text: { readonly title: string; readonly about: string },
): string {
  const stays = staysOf(run.events);
  const { statusOf } = progressOf(run.events);
  const wholeMs = Math.max(...stays.map(({ toMs }) => toMs));
  const head = [
    markup`<text class="head" x="${X.name}" y="12">state</text><text class="head" x="${X.type}" y="12">type</text>`,
    markup`<text class="head end" x="${X.after}" y="12">after</text><text class="head end" x="${X.took}" y="12">took</text>`,
    markup`<text class="head" x="${X.bar}" y="12">when</text><text class="head" x="${X.said}" y="12">what came of it</text>`,
  ];
  const rows = stays.map(({ fromMs, said, state, toMs }, index): Markup => {
    const top = (index + 1) * ROW;
    const y = top + ROW / 2;
    const base = y + 4.5;
    const from = X.bar + (fromMs / wholeMs) * BAR;
    // One that is too short to be seen is drawn two px wide.
    const width = Math.max(2, ((toMs - fromMs) / wholeMs) * BAR);
    return markup`<g class="${statusOf(state)}">${index % 2 === 0 ? markup`<rect class="panel" x="-8" y="${top}" width="${X.end + 16}" height="${ROW}"/>` : markup``}${markSvg(statusOf(state), X.name + 7, y)}<text x="${X.name + 20}" y="${base}">${state}</text><text class="faint" x="${X.type}" y="${base}">${definition.States[state]!.Type}</text><text class="end" x="${X.after}" y="${base}">${secondsText(fromMs)}</text><text class="end" x="${X.took}" y="${base}">${secondsText(toMs - fromMs)}</text><rect class="bar" x="${px(from)}" y="${y - 5}" width="${px(width)}" height="10" rx="1"/><text x="${X.said}" y="${base}">${cut(said, Math.floor((X.end - X.said) / SANS_WIDTH))}</text></g>\n`;
  });
  return picture({
    ...text,
    width: X.end,
    height: (stays.length + 1) * ROW,
    content: markup`${head}\n${rows}`,
  });
}

function staysOf(events: readonly RunEvent[]): readonly Stay[] {
  const begunMs = events[0]!.atMs;
  return events.flatMap((event, index) => {
    if (event.kind !== 'entered') return [];
    const rest = events.slice(index + 1);
    const end = rest.find(
      (each) => 'state' in each && each.state === event.state && each.kind !== 'failed-try',
    );
    const next = rest.find(({ kind }) => kind === 'entered');
    return [
      {
        state: event.state,
        fromMs: event.atMs - begunMs,
        toMs: (end ?? events.at(-1)!).atMs - begunMs,
        said: saidOf(end, next),
      },
    ];
  });
}

/** What a step answered, without its lists and its bookkeeping; of a state that calls nothing, where it led. */
function saidOf(end: RunEvent | undefined, next: RunEvent | undefined): string {
  if (end?.kind === 'failed') return end.error;
  if (end?.kind === 'left' && end.output !== undefined) return answerText(end.output as Answer);
  return next?.kind === 'entered' ? `on to ${next.state}` : '';
}

type Answer = Readonly<Record<string, unknown>>;

function answerText({ change, outcome, tries, ...rest }: Answer): string {
  const parts = Object.entries(rest).flatMap(([key, value]) => {
    if (typeof value !== 'object') return [`${key} ${value}`];
    const within = (value as Answer | null)?.outcome;
    return within === undefined ? [] : [String(within)];
  });
  return [outcome, ...parts].join(', ');
}

function secondsText(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}
