import { readdirSync, readFileSync } from 'node:fs';
import { XMLValidator } from 'fast-xml-parser';
import { expect, it } from 'vitest';
import { draw } from '../../scripts/pictures/draw.ts';
import { layoutOf, type PlacedState } from '../../scripts/pictures/graph-layout.ts';
import { definitionOf, nextOf, type Recording, requireStory } from '../../scripts/pictures/recording.ts';
import { DRILLS, INPUTS, isShown, STATES, WAY } from '../support/drills-document.ts';

const FOLDER = new URL('../../docs/pictures/', import.meta.url);
const fileOf = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8');

const recording: Recording = JSON.parse(fileOf('recording.json'));
const pictures = draw(recording);
const RUNS = [recording.drill, recording.refused];
const definition = definitionOf(recording);

it.each(Object.keys(pictures))('%s is as it is drawn now; if not: npm run pictures', (name) => {
  expect(fileOf(name)).toBe(pictures[name]);
});

it('the document shows every picture, and there is no other', () => {
  const shown = [...DRILLS.matchAll(/!\[[^\]]{20,}\]\(pictures\/([^)]+)\)/g)].map(([, name]) => name!);
  expect(shown.toSorted()).toEqual(Object.keys(pictures).toSorted());
  expect(readdirSync(FOLDER).toSorted()).toEqual(['recording.json', ...shown].toSorted());
});

it('the pictures are well-formed, and want nothing from elsewhere', () => {
  for (const [name, picture] of Object.entries(pictures)) {
    expect(XMLValidator.validate(picture), name).toBe(true);
    expect(picture.replace(/xmlns="[^"]*"/g, ''), name).not.toMatch(/https?:|href=|<script|@import/);
  }
});

it.each(RUNS)('the run $name took a way that the workflow has', ({ events }) => {
  const entered = events.flatMap((event) => (event.kind === 'entered' ? [event.state] : []));
  expect(entered[0]).toBe(definition.StartAt);
  for (const [index, state] of entered.slice(1).entries()) {
    expect(nextOf(definition, entered[index]!), entered[index]!).toContain(state);
  }
  expect(['Succeed', 'Fail']).toContain(definition.States[entered.at(-1)!]!.Type);
});

it('the runs are those that the document has one start, and the first took the way that it names', () => {
  expect(RUNS.map(({ input }) => input)).toEqual(INPUTS.map((text) => JSON.parse(text)));
  const entered = recording.drill.events.flatMap((event) => (event.kind === 'entered' ? [event.state] : []));
  const went = entered.filter((state, index) => isShown(state) && state !== entered[index - 1]);
  expect(went).toEqual(['Approve', ...WAY]);
  const answer = recording.refused.events.find(
    (event) => event.kind === 'left' && event.state === 'Hand over',
  );
  const { code, why } = (answer as { readonly output: { readonly code: string; readonly why: string } })
    .output;
  expect(DRILLS.replace(/\s+/g, ' ')).toContain(`\`${code}\`, "${why}"`);
});

it('a recording that ended otherwise than the document tells is not drawn', () => {
  requireStory(recording);
  const { drill, refused, report } = recording;
  const cut = { ...drill, events: drill.events.slice(0, -1) };
  expect(() => requireStory({ ...recording, drill: cut })).toThrow(
    'first-tuesday left at Done, not succeeded',
  );
  expect(() => requireStory({ ...recording, refused: { ...drill, name: 'again' } })).toThrow(
    /again succeeded at Done, not failed at Refused\. .*Run npm run pictures again/,
  );
  expect(() => requireStory({ ...recording, drill: refused })).toThrow('failed at Refused, not succeeded');
  const failed = {
    ...report,
    outcome: 'failed',
    code: 'FAILOVER_REFUSED',
    why: 'it was taken back',
  } as const;
  expect(() => requireStory({ ...recording, report: failed })).toThrow(
    'failed, FAILOVER_REFUSED: it was taken',
  );
});

it('the graph holds every state and every step of the workflow, and no state covers another', () => {
  const { height, states, steps, width } = layoutOf(definition);
  expect(new Set(states.map(({ name }) => name))).toEqual(new Set(Object.keys(STATES)));
  for (const name of Object.keys(STATES)) {
    expect(steps.filter(({ from }) => from === name).map(({ to }) => to)).toEqual(nextOf(definition, name));
  }
  const covers = (a: PlacedState, b: PlacedState) =>
    Math.abs(a.x - b.x) * 2 < a.width + b.width && Math.abs(a.y - b.y) * 2 < a.height + b.height;
  for (const [index, state] of states.entries()) {
    expect(states.slice(index + 1).filter((other) => covers(state, other))).toEqual([]);
    expect(Math.abs(state.x - width / 2) * 2 + state.width).toBeLessThanOrEqual(width + 1);
    expect(Math.abs(state.y - height / 2) * 2 + state.height).toBeLessThanOrEqual(height + 1);
  }
});
