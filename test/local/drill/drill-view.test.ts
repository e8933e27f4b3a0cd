import { expect, test } from 'vitest';
import type { DrillEvent } from '#lib/local/drill/drill-report.ts';
import { drillViewOf, JsonView, PlainView, TerminalView } from '#lib/local/drill/drill-view.ts';
import { inColour, plainly } from '#lib/local/drill/paint.ts';
import { SAMPLE } from './sample-report.ts';

const FILES = { json: '/reports/drill.json', html: '/reports/drill.html' };
const CLAIM: DrillEvent = { atMs: 2305, phase: 'claim', at: 'us-east-1', what: 'claim of epoch 2: claimed' };

function output(columns = 80) {
  const written: string[] = [];
  return {
    out: { write: (text: string) => void written.push(text), columns, isTTY: true },
    written,
    text: () => written.join(''),
    lines: () => written.join('').split('\n'),
  };
}

const ESC = '\u001b';
/** A command to the terminal, or a run of text. */
const TOKEN = new RegExp(`${ESC}\\[\\d*[A-Za-z]|\\r|\\n|[^${ESC}\\r\\n]+`, 'g');

/** What a terminal shows in the end of what was written: rows without styles. */
function screen(text: string): readonly string[] {
  const rows: string[] = [];
  let row = '';
  let column = 0;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '\r') column = 0;
    else if (token === '\n') {
      rows.push(row);
      row = '';
      column = 0;
    } else if (token === '\u001b[K') row = row.slice(0, column);
    else if (!token.startsWith(ESC)) {
      row = row.slice(0, column) + token + row.slice(column + token.length);
      column += token.length;
    }
  }
  return [...rows, row];
}

test('a terminal shows the timeline above one status line, and nothing else', () => {
  const { out, text } = output(100);
  const view = new TerminalView(out, inColour);
  view.say('Starting three Regions');
  view.status('410 writes acknowledged, 0 in doubt, leader eu-west-1');
  view.event({ atMs: -21, phase: 'before', at: 'client', what: 'last write acknowledged by eu-west-1' });
  view.status('412 writes acknowledged');
  view.event(CLAIM);
  expect(screen(text())).toEqual([
    'Starting three Regions',
    ' -0.021 s  before       client          last write acknowledged by eu-west-1',
    ' +2.305 s  claim        us-east-1       claim of epoch 2: claimed',
    '412 writes acknowledged',
  ]);
});

test('each redraw is one write, and a status that did not change is none', () => {
  const { out, written } = output();
  const view = new TerminalView(out, plainly);
  view.status('1 write');
  view.status('1 write');
  view.event(CLAIM);
  expect(written).toHaveLength(2);
  const event = ' +2.305 s  claim        us-east-1       claim of epoch 2: claimed';
  expect(written[1]).toBe(`\r${event}${ESC}[K\n1 write${ESC}[K`);
});

test('a long sentence is wrapped under itself, and a narrow terminal aligns nothing', () => {
  const event: DrillEvent = {
    atMs: 0,
    phase: 'fault',
    at: 'eu-west-1',
    what: "all processes of the leader's Region are killed; connections to it hang",
  };
  const wide = output(90);
  new TerminalView(wide.out, plainly).event(event);
  expect(screen(wide.text())).toEqual([
    " +0.000 s  fault        eu-west-1       all processes of the leader's Region are killed;",
    '                                        connections to it hang',
    '',
  ]);
  const narrow = output(40);
  new TerminalView(narrow.out, plainly).event(event);
  expect(screen(narrow.text())).toEqual([
    '+0.000 s fault eu-west-1: all processes',
    "  of the leader's Region are killed;",
    '  connections to it hang',
    '',
  ]);
});

test.each([20, 40, 60, 80])('no drawn line of the timeline reaches the last of %i columns', (columns) => {
  const { out, text } = output(columns);
  const view = new TerminalView(out, plainly);
  for (const event of SAMPLE.timeline) {
    view.status('412 writes acknowledged, 0 in doubt for a while; the last by eu-west-1');
    view.event({ ...event, what: 'a few short words to be wrapped', at: 'x' });
  }
  const longest = Math.max(...screen(text()).map((line) => line.length));
  // A narrow line starts with its time, phase and place, whatever the width.
  expect(longest).toBeLessThan(Math.max(columns, 30));
});

test('what happened can neither break a line nor command the terminal', () => {
  const { out, text } = output();
  new TerminalView(out, plainly).event({ ...CLAIM, what: 'claimed\n\u001b[2Jgone\u0007' });
  expect(screen(text())).toEqual([' +2.305 s  claim        us-east-1       claimed [2Jgone', '']);
});

test('the end sums up the figures, the phases, the candidates and where the files are', () => {
  const { out, lines } = output();
  new PlainView(out, () => 0).report(SAMPLE, FILES);
  expect(lines()).toEqual([
    '',
    'Drill region-loss, profile fast: passed',
    '',
    "RTO                 3.123 s  old leader's last write to the new one's first",
    'longest pause       3.123 s  no write of the client got through',
    'acknowledged     412 writes  by the leader of the moment',
    'lost               2 writes  acknowledged, and the group no longer has them',
    'RPO as reported  27 records  the most that may be lost, as the failover said',
    'divergent         3 changes  kept; the report shows them',
    'digests               equal  all replicas hold the same items',
    '',
    'detect       2.161 s  ████████████████████████████████████████',
    'claim        0.165 s  ███',
    'fence        0.173 s  ███▎',
    'elect        0.091 s  █▋',
    'drain        0.086 s  █▋',
    'promote      0.146 s  ██▊',
    'repoint      0.193 s  ███▋',
    'first-write  0.108 s  ██',
    '',
    'rung                        proven  what it rests on',
    'seal of the log             yes     sealed in us-east-1, ap-southeast-1',
    'lease                       yes     2 of 3 Regions have withdrawn it, each after lease and margin or with its consent',
    'watchdog of the old Region  no      eu-west-1 did not answer',
    'fence of the store          no      eu-west-1 did not answer',
    'host hook                   no      no hook is given',
    '',
    'Region          epoch  LSN  applied  verdict      why',
    'us-east-1           1  412      410  promoted     eligible',
    'ap-southeast-1      1  409      409  passed over  eligible, but us-east-1 has more',
    'eu-west-1           1  409  unknown  rejected     its store has no position yet',
    '',
    'Report: /reports/drill.html',
    '        /reports/drill.json',
    '',
    'us-east-1 leads in epoch 2, and every other Region follows it. Lost: 2 acknowledged writes; at most 27 had been reported.',
    '',
  ]);
});

test('in a terminal the last column of a table is wrapped under itself', () => {
  const { out, text } = output(80);
  new TerminalView(out, plainly).report(SAMPLE, FILES);
  const lines = screen(text());
  const lease = lines.findIndex((line) => line.startsWith('lease '));
  expect(lines.slice(lease, lease + 3)).toEqual([
    'lease                       yes     2 of 3 Regions have withdrawn it, each',
    '                                    after lease and margin or with its consent',
    'watchdog of the old Region  no      eu-west-1 did not answer',
  ]);
});

test('the end says what failed, and never a number for what is unknown', () => {
  const { out, lines } = output();
  const failures = ['the replicas do not hold the same items', '3 writes are lost'];
  const view = new PlainView(out, () => 0);
  const phases = { ...SAMPLE.phases, drainMs: null };
  view.report({ ...SAMPLE, ok: false, failures, reportedRpoRecords: null, rtoMs: null, phases }, FILES);
  expect(lines()).toContain('Drill region-loss, profile fast: failed');
  expect(lines().join('\n')).toMatch(/RPO as reported +unknown {2}/);
  expect(lines().join('\n')).toMatch(/RTO +unknown {2}/);
  expect(lines().join('\n')).not.toMatch(/^drain /m);
  expect(lines().slice(-4)).toEqual(['What failed:', ...failures.map((line) => `- ${line}`), '']);
});

test('where nobody was promoted, the end says so, and asks for no figure of a failover', () => {
  const { out, lines } = output();
  const none = { fence: null, candidates: [], rtoMs: null, reportedRpoRecords: null, lost: 0 };
  new PlainView(out, () => 0).report({ ...SAMPLE, ...none, leader: 'eu-west-1', epoch: 1 }, FILES);
  expect(lines().join('\n')).toMatch(/RTO +no failover {2}/);
  expect(lines().join('\n')).toMatch(/RPO as reported +no failover {2}/);
  expect(lines().at(-2)).toBe(
    'eu-west-1 leads on, in epoch 1, and every other Region follows it. No acknowledged write is lost.',
  );
});

test('a terminal breaks what is said between words, and names files from where one is', () => {
  const { out, text } = output(60);
  const view = new TerminalView(out, plainly);
  view.say('Starting three Regions and DNS, 40 ms apart: scenario coordinator-loss, profile fast');
  view.report(SAMPLE, { html: `${process.cwd()}/.understudy/drill.html`, json: '/reports/drill.json' });
  expect(screen(text()).slice(0, 2)).toEqual([
    'Starting three Regions and DNS, 40 ms apart: scenario',
    'coordinator-loss, profile fast',
  ]);
  expect(screen(text())).toContain('Report: .understudy/drill.html');
  expect(screen(text())).toContain('        /reports/drill.json');
});

test('a terminal leaves the status out of the end, and leaves it standing where there is no end', () => {
  const ended = output();
  const view = new TerminalView(ended.out, plainly);
  view.status('412 writes acknowledged');
  view.report(SAMPLE, FILES);
  view.close();
  expect(screen(ended.text()).join('\n')).not.toContain('412 writes acknowledged');
  const broken = output();
  const other = new TerminalView(broken.out, plainly);
  other.status('412 writes acknowledged');
  other.close();
  expect(screen(broken.text())).toEqual(['412 writes acknowledged', '']);
});

test('plain and JSON views tell a status at most once a second', () => {
  let now = 0;
  const { out, lines } = output();
  const json = output();
  const views = [new PlainView(out, () => now), new JsonView(json.out, () => now)];
  for (const [ms, line] of [
    [0, '1 write'],
    [900, '2 writes'],
    [1000, '3 writes'],
    [2000, '3 writes'],
    [2250, '4 writes'],
  ] as const) {
    now = ms;
    for (const view of views) view.status(line);
  }
  expect(lines()).toEqual(['1 write', '3 writes', '4 writes', '']);
  expect(json.lines()[1]).toBe('{"kind":"status","text":"3 writes"}');
});

test('JSON is one object a line, and the last is the report', () => {
  const { out, lines } = output();
  const view = new JsonView(out, () => 0);
  view.say('Starting');
  view.event(CLAIM);
  view.status('7 writes');
  view.report(SAMPLE, FILES);
  view.close();
  expect(lines().pop()).toBe('');
  expect(
    lines()
      .slice(0, -1)
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { kind: 'message', text: 'Starting' },
    { kind: 'event', ...CLAIM },
    { kind: 'status', text: '7 writes' },
    { kind: 'files', ...FILES },
    SAMPLE,
  ]);
});

test('the output decides on the view: JSON if asked for, colours only where they are wanted', () => {
  const { out } = output();
  expect(drillViewOf({ json: true, stdout: out, env: {} })).toBeInstanceOf(JsonView);
  expect(drillViewOf({ json: false, stdout: { ...out, isTTY: false }, env: {} })).toBeInstanceOf(PlainView);
  expect(drillViewOf({ json: false, stdout: out, env: { TERM: 'dumb' } })).toBeInstanceOf(PlainView);
  const coloured = output();
  drillViewOf({ json: false, stdout: coloured.out, env: {} }).event(CLAIM);
  expect(coloured.text()).toContain('\u001b[35mclaim');
  const plain = output();
  drillViewOf({ json: false, stdout: plain.out, env: { NO_COLOR: '1' } }).event(CLAIM);
  expect(plain.text()).not.toContain('\u001b[35m');
});
