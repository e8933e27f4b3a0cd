import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DrillEvent, DrillReport } from '#lib/local/drill/drill-report.ts';
import { htmlReport } from '#lib/local/drill/html-report.ts';
import { type Element, elementsOf } from '../../support/page-elements.ts';
import { SAMPLE } from './sample-report.ts';

function classed(elements: readonly Element[], name: string): readonly Element[] {
  return elements.filter(({ at }) => at.class?.split(' ').includes(name));
}

const HOSTILE = `</title><script>alert("1")</script><img src=x onerror='alert(2)'>&lt;\u0000\u001b[2J\ud800]]>--><!--`;

test('no text of a report becomes markup, wherever it stands', () => {
  const hostile: DrillReport = {
    ...SAMPLE,
    ok: false,
    profile: HOSTILE,
    leader: HOSTILE,
    failures: [HOSTILE],
    timeline: SAMPLE.timeline.map((event) => ({ ...event, at: HOSTILE, what: HOSTILE })),
    divergentSample: [
      { at: HOSTILE, key: { [HOSTILE]: { S: HOSTILE } }, before: HOSTILE, after: [HOSTILE] },
      HOSTILE,
    ],
    candidates: [{ region: HOSTILE, epoch: HOSTILE, lsn: HOSTILE, eligible: true, why: HOSTILE }, null, 7],
  };
  const elements = elementsOf(htmlReport(hostile));
  expect(elements.filter(({ tag }) => tag === 'script' || tag === 'img')).toEqual([]);
  expect(elements.flatMap(({ at }) => Object.keys(at)).filter((name) => name.startsWith('on'))).toEqual([]);
  // The same elements as without: nothing was opened, nothing closed.
  const tags = (all: readonly Element[]) => new Set(all.map(({ tag }) => tag));
  expect(tags(elements)).toEqual(tags(elementsOf(htmlReport({ ...SAMPLE, ok: false, failures: ['x'] }))));
  const shown = HOSTILE.replace(/[\p{Cc}\p{Cs}]/gu, '\uFFFD');
  expect(elements.filter(({ tag, text }) => tag === 'td' && text === shown).length).toBeGreaterThan(40);
  expect(elements.find(({ tag }) => tag === 'li')?.text).toBe(shown);
});

test('the page needs nothing from elsewhere', () => {
  const html = htmlReport(SAMPLE);
  expect(html).not.toMatch(/https?:|url\(|@import|<script|<link|\bsrc=|\bhref=/);
  expect(html).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
});

test('every event is drawn in the lane of its place and listed in the table', () => {
  const elements = elementsOf(htmlReport(SAMPLE));
  const lanes = classed(elements, 'lane');
  const namesOf = lanes.map(
    (lane) => lane.children.find((child) => child.at.class === 'name')!.children[0]!.text,
  );
  expect(namesOf).toEqual(['phases', 'eu-west-1', 'us-east-1', 'ap-southeast-1', 'client', 'dns']);
  const rows = elements
    .filter(({ tag }) => tag === 'tr')
    .map(({ children }) => children.map(({ text }) => text));
  SAMPLE.timeline.forEach(({ phase, at, what, times }, index) => {
    const drawn = classed(lanes[namesOf.indexOf(at)]!.children, 'event').filter(({ text }) =>
      text.includes(what),
    );
    expect(drawn.length, what).toBeGreaterThan(0);
    expect(drawn.some((each) => each.at.class === `event p-${phase}`)).toBe(true);
    expect(rows).toContainEqual([
      `${index + 1}`,
      expect.stringMatching(/^[-+]\d+\.\d{3} s$/),
      phase,
      at,
      times === undefined ? what : `${what} (${times} times)`,
    ]);
  });
  expect(classed(elements, 'event')).toHaveLength(SAMPLE.timeline.length);
});

test('phases are drawn one after the other, as long as they took, on the scale of the events', () => {
  const elements = elementsOf(htmlReport(SAMPLE));
  const bars = classed(elements, 'bar').map((bar) => {
    const { x, width } = bar.children.find(({ tag }) => tag === 'rect')!.at;
    return { x: Number(x), width: Number(width), title: bar.children[0]!.text };
  });
  const ms = Object.values(SAMPLE.phases) as number[];
  const perMs = bars[0]!.width / ms[0]!;
  expect(bars.map(({ title }) => title)).toEqual([
    'detect 2.161 s',
    'claim 0.165 s',
    'fence 0.173 s',
    'elect 0.091 s',
    'drain 0.086 s',
    'promote 0.146 s',
    'repoint 0.193 s',
    'first-write 0.108 s',
  ]);
  bars.forEach(({ x, width }, index) => {
    expect(width / perMs).toBeCloseTo(ms[index]!, -1);
    if (index > 0) expect(x).toBeCloseTo(bars[index - 1]!.x + bars[index - 1]!.width, 0);
  });
  const xOf = (what: string) =>
    Number(
      classed(elements, 'event')
        .find(({ text }) => text.includes(what))!
        .children.find(({ tag }) => tag === 'circle')!.at.cx,
    );
  const promoted = bars[5]!;
  expect(xOf('promotion:') - promoted.x - promoted.width).toBeCloseTo(0, 0);
  expect((xOf('the Region comes back') - xOf('all processes')) / perMs).toBeCloseTo(6000, -2);
  const shares = classed(elements, 'share').map(({ children }) => children[0]!.at.style);
  expect(shares.slice(0, 2)).toEqual(['width:100.00%', 'width:7.64%']);
});

test('what is unknown is called so, never 0', () => {
  const elements = elementsOf(htmlReport({ ...SAMPLE, reportedRpoRecords: null, rtoMs: null }));
  const figure = (name: string) =>
    classed(elements, 'figure')
      .find(({ children }) => children[0]!.text === name)
      ?.children.find(({ at }) => at.class === 'value')?.text;
  expect(figure('RPO as reported')).toBe('unknown');
  expect(figure('RTO')).toBe('unknown');
  expect(figure('lost')).toBe('2 writes');
});

test('the divergent changes are shown with key, before, after and time', () => {
  const rows = elementsOf(htmlReport({ ...SAMPLE, divergent: 40 }));
  expect(rows.map(({ text }) => text)).toContain('3 of 40 are shown.');
  const cells = rows
    .filter(({ tag }) => tag === 'tr')
    .map(({ children }) => children.map(({ text }) => text));
  expect(cells).toContainEqual([
    'id: order-0412',
    'no item',
    'id: order-0412, quantity: 3, drillId: write#413',
    '2025-11-23T23:14:05.000Z',
  ]);
});

test('a drill without a failover says so', () => {
  const none = Object.fromEntries(Object.keys(SAMPLE.phases).map((name) => [name, null]));
  const phases = none as unknown as DrillReport['phases'];
  const report = { ...SAMPLE, phases, timeline: [], divergent: 0, divergentSample: [], candidates: [] };
  const paragraphs = elementsOf(htmlReport(report)).filter(({ tag }) => tag === 'p');
  const texts = paragraphs.map(({ text }) => text);
  expect(texts).toEqual(
    expect.arrayContaining([
      'There was none.',
      'No election took place.',
      'Nothing diverged.',
      'Nothing happened.',
    ]),
  );
});

const EVENTS = fc.array(
  fc.record({
    atMs: fc.integer({ min: -5000, max: 120_000 }),
    phase: fc.constantFrom<DrillEvent['phase']>('before', 'fault', 'detect', 'promote', 'reattach'),
    at: fc.constantFrom('eu-west-1', 'us-east-1', 'client'),
    what: fc.string({ maxLength: 250 }),
  }),
  { maxLength: 40 },
);

test('no label runs over another label, another mark or the edge, however dense the events are', () => {
  fc.assert(
    fc.property(EVENTS, (timeline) => {
      const elements = elementsOf(htmlReport({ ...SAMPLE, timeline }));
      const drawn = [...classed(elements, 'event'), ...classed(elements, 'bar')].map((mark) => {
        const label = mark.children.find(({ tag }) => tag === 'text')!;
        const [x, width] = [Number(label.at.x), [...label.text].length * 6.6];
        const [from, to] = label.at['text-anchor'] === 'end' ? [x - width, x] : [x, x + width];
        const shape = mark.children.find(({ tag }) => tag === 'circle' || tag === 'rect')!.at;
        const left = shape.cx === undefined ? Number(shape.x) : Number(shape.cx) - 4;
        const right = shape.cx === undefined ? left + Number(shape.width) : left + 8;
        return { y: label.at.y, from: Math.min(from, left), to: Math.max(to, right) };
      });
      for (const [index, mark] of drawn.entries()) {
        expect(mark.from).toBeGreaterThanOrEqual(100);
        expect(mark.to).toBeLessThanOrEqual(1200);
        const others = drawn.slice(index + 1).filter(({ y }) => y === mark.y);
        for (const other of others) expect(other.from > mark.to || other.to < mark.from).toBe(true);
      }
    }),
    { numRuns: 60 },
  );
});
