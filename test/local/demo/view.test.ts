import { expect, test } from 'vitest';
import { parseRegionId } from '#lib/domain/ids.ts';
import { type Frame, JsonView, PlainView, TerminalView } from '#lib/local/demo/view.ts';

const FRAME: Frame = {
  title: 'Understudy',
  status: 'Writing: 7 writes acknowledged',
  rows: [
    {
      region: parseRegionId('eu-west-1'),
      role: 'leader',
      captured: '7',
      durable: '7',
      applied: '7',
      lagMs: 0,
      recordsPerSecond: 12,
      bytesPerSecond: 3456,
    },
    { region: parseRegionId('us-east-1'), role: 'follower', captured: '7', note: 'no answer' },
  ],
};

function recorder() {
  const written: string[] = [];
  return {
    out: { write: (text: string) => void written.push(text), columns: 100 },
    text: () => written.join(''),
  };
}

test('a terminal frame is drawn over the one before, line for line', () => {
  const { out, text } = recorder();
  const view = new TerminalView(out);
  view.show(FRAME);
  const height = text().split('\n').length - 1;
  view.show(FRAME);
  expect(text()).toContain(`\u001b[${height}A\u001b[0J`);
});

test('no line of a terminal frame is wider than the terminal', () => {
  const { out, text } = recorder();
  new TerminalView({ ...out, columns: 30 }).show(FRAME);
  expect(
    Math.max(
      ...text()
        .split('\n')
        .map((line) => line.length),
    ),
  ).toBeLessThanOrEqual(30);
});

test('a figure that is not known is shown as unknown, never as a number', () => {
  const { out, text } = recorder();
  new TerminalView(out).show(FRAME);
  expect(text()).toMatch(/us-east-1 +follower +7 +unknown +unknown +unknown .*no answer/);
  const plain = recorder();
  new PlainView(plain.out).show(FRAME);
  expect(plain.text()).toContain('us-east-1 follower captured=7 durable=? applied=? lag=unknown');
});

test('plain and JSON views write no control characters', () => {
  const plain = recorder();
  new PlainView(plain.out).show(FRAME);
  expect(plain.text()).not.toContain('\u001b');
  const json = recorder();
  new JsonView(json.out).show(FRAME);
  expect(JSON.parse(json.text())).toMatchObject({ kind: 'progress', regions: [{ region: 'eu-west-1' }, {}] });
});
