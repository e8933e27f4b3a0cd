import { expect, test } from 'vitest';
import type { DrillLeg, DrillReport } from '#lib/domain/control/drill.ts';
import type { ErrorCode } from '#lib/domain/errors.ts';
import { drillPage } from '#lib/usecases/control/drill-page.ts';
import { E2, E3 } from '../../support/log-history.ts';
import { EU, US } from '../../support/memory-group.ts';
import { elementsOf } from '../../support/page-elements.ts';

const HEAD = {
  version: 1,
  group: 'orders',
  due: '2030-01-01T10:00:00Z',
  approvedBy: 'the platform team',
  home: EU,
  begunMs: 1_893_492_000_000,
  endedMs: 1_893_492_060_000,
} as const;

const THERE: DrillLeg = {
  run: 'orders-2-drill',
  from: EU,
  to: US,
  epoch: E2,
  startedMs: 1_000,
  endedMs: 4_000,
  rtoMs: 2_345,
  rpo: { records: 0, ms: 0 },
  end: { kind: 'done' },
  timeline: [
    { atMs: 1_250, step: 'claim', outcome: { outcome: 'claimed', epoch: E2, from: EU } },
    {
      atMs: 1_500,
      step: 'fence',
      outcome: {
        outcome: 'fenced',
        seals: [{ region: US, sealed: true, epoch: E2, lsn: '7' }],
        rungs: Object.fromEntries(
          ['log', 'lease', 'watchdog', 'engine', 'host'].map((rung) => [
            rung,
            { proven: rung !== 'host', detail: `of ${rung}` },
          ]),
        ),
      },
    },
    {
      atMs: 1_600,
      step: 'elect',
      outcome: {
        outcome: 'elected',
        winner: US,
        rpo: { records: 0, ms: 0 },
        candidates: [{ region: US, epoch: 1, lsn: '7', appliedLsn: '7', eligible: true, why: 'eligible' }],
      },
    },
  ],
};
const LOST: DrillLeg = {
  ...THERE,
  run: 'orders-3-drill',
  from: US,
  to: null,
  epoch: E3,
  rtoMs: null,
  rpo: { records: null, ms: null },
  end: { kind: 'failed', code: 'FAILOVER_REFUSED', why: 'there is no successor' },
  timeline: [],
};
const PASSED: DrillReport = {
  ...HEAD,
  outcome: 'passed',
  there: THERE,
  back: { ...THERE, from: US, to: EU, epoch: E3, rtoMs: 1_000 },
};

/** The rows of all tables, and the texts of what has a class or a tag. */
function shown(report: DrillReport) {
  const elements = elementsOf(drillPage(report));
  const texts = (is: (element: (typeof elements)[number]) => boolean) =>
    elements.filter(is).map(({ text }) => text);
  return {
    rows: elements
      .filter(({ tag, children }) => tag === 'tr' && children.some((child) => child.tag === 'td'))
      .map(({ children }) => children.map(({ text }) => text)),
    values: texts(({ at }) => at.class === 'value'),
    paragraphs: texts(({ tag }) => tag === 'p'),
    titles: texts(({ tag }) => tag === 'h1' || tag === 'h2'),
    failures: texts(({ tag }) => tag === 'li'),
  };
}

test('a drill that passed is shown with both ways, their figures and what each decision rests on', () => {
  const { failures, paragraphs, rows, titles, values } = shown(PASSED);
  expect(titles).toEqual([
    'Understudy drill: orders, due 2030-01-01T10:00:00Z passed',
    'There: eu-west-1 to us-east-1, epoch 2',
    'There: fence of eu-west-1',
    'There: candidates',
    'Back: us-east-1 to eu-west-1, epoch 3',
    'Back: fence of us-east-1',
    'Back: candidates',
  ]);
  expect(values).toEqual(['2.345 s', '0 records', '1.000 s', '0 records']);
  expect(paragraphs.slice(0, 2)).toEqual([
    'Approved by the platform team; led by eu-west-1',
    'Begun 2030-01-01T10:00:00.000Z, ended 2030-01-01T10:01:00.000Z',
  ]);
  expect(rows).toContainEqual(['0.250 s', 'claim', 'claimed', 'claimed epoch 2, after eu-west-1']);
  expect(rows).toContainEqual(['host', 'no', 'of host']);
  expect(rows).toContainEqual(['us-east-1', '1', '7', 'yes', 'eligible']);
  expect(failures).toEqual([]);
});

test('of one that failed, what is not known is no number', () => {
  const { failures, paragraphs, titles, values } = shown({
    ...HEAD,
    outcome: 'failed',
    code: 'FAILOVER_REFUSED',
    why: 'there is no successor',
    there: THERE,
    back: LOST,
  });
  expect(failures).toEqual(['FAILOVER_REFUSED: there is no successor']);
  expect(values).toEqual(['2.345 s', '0 records', 'not reached', 'unknown']);
  expect(titles).toContain('Back: us-east-1 to nobody, epoch 3');
  expect(paragraphs).toContain('Run orders-3-drill: failed, FAILOVER_REFUSED: there is no successor.');
});

test('of one that was refused, or failed before it began, why is all that there is', () => {
  const refused = shown({ ...HEAD, outcome: 'refused', code: 'FAILOVER_REFUSED', why: 'paused' });
  expect([refused.failures, refused.values, refused.titles.length]).toEqual([
    ['FAILOVER_REFUSED: paused'],
    [],
    2,
  ]);
});

test('no text of a report becomes markup', () => {
  const hostile = '</title><script>alert(1)</script><img src=x onerror=alert(2)>\u0000]]>';
  const report: DrillReport = {
    ...HEAD,
    approvedBy: hostile,
    outcome: 'failed',
    code: hostile as ErrorCode,
    why: hostile,
    there: {
      ...THERE,
      run: hostile,
      end: { kind: 'failed', code: hostile as ErrorCode, why: hostile },
      timeline: [{ atMs: 1, step: hostile, outcome: { outcome: hostile, why: hostile } }],
    },
  };
  const tags = elementsOf(drillPage(report)).map(({ tag }) => tag);
  expect(tags.filter((tag) => tag === 'script' || tag === 'img')).toEqual([]);
  expect(tags.filter((tag) => tag === 'li')).toHaveLength(1);
});
