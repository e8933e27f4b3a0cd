import { RUNGS } from '#lib/domain/control/fence.ts';
import type { Figure } from '#lib/domain/page/page.ts';
import type { DrillEvent, DrillPhases, DrillReport } from '#lib/local/drill/drill-report.ts';
import { RUNG_NAMES } from '#lib/local/drill/timeline.ts';

export type Phase = DrillEvent['phase'];

/** The phases that are measured, in order, each with its field. */
const MEASURED = [
  ['detect', 'detectMs'],
  ['claim', 'claimMs'],
  ['fence', 'fenceMs'],
  ['elect', 'electMs'],
  ['drain', 'drainMs'],
  ['promote', 'promoteMs'],
  ['repoint', 'repointMs'],
  ['first-write', 'firstWriteMs'],
] as const satisfies readonly (readonly [Phase, keyof DrillPhases])[];

/** A measured phase; `fromMs` is relative to the fault. */
export type PhaseSpan = { readonly phase: Phase; readonly fromMs: number; readonly ms: number };

/** The phases that the scenario had, one after the other. */
export function spansOf({ phases, timeline }: DrillReport): readonly PhaseSpan[] {
  const spans: PhaseSpan[] = [];
  let endMs = 0;
  for (const [phase, field] of MEASURED) {
    const ms = phases[field];
    if (ms === null) continue;
    spans.push({ phase, fromMs: endMs, ms });
    endMs += ms;
  }
  // Durations are known, starts are not: the event of the promotion marks the end of that phase.
  const promoted = spans.find(({ phase }) => phase === 'promote');
  const promotedAt = timeline.findLast(({ phase }) => phase === 'promote')?.atMs;
  if (promoted === undefined || promotedAt === undefined) return spans;
  const shift = promotedAt - (promoted.fromMs + promoted.ms);
  return spans.map((span) => ({ ...span, fromMs: span.fromMs + shift }));
}

const loadedText = (loaded: Readonly<Record<string, number>>): string =>
  countText(
    Object.values(loaded).reduce((sum, rows) => sum + rows, 0),
    'row',
  );

function loadedNote(loaded: Readonly<Record<string, number>>): string {
  const tables = Object.entries(loaded).map(([table, rows]) => `${table} ${rows}`);
  return `from your file, before the drill: ${tables.join(', ')}`;
}

/** The figures that a drill is about. What is not known is never shown as a number. */
export function figuresOf(report: DrillReport): readonly Figure[] {
  const {
    rtoMs,
    pauseMs,
    acknowledged,
    lost,
    reportedRpoRecords: rpo,
    divergent,
    digestsEqual,
    loaded,
    zombieAcknowledged: zombies,
    lateAcknowledged: late,
  } = report;
  const missing = wasPromoted(report) ? 'unknown' : 'no failover';
  return [
    {
      name: 'RTO',
      value: rtoMs === null ? missing : secondsText(rtoMs),
      note: "old leader's last write to the new one's first",
    },
    { name: 'longest pause', value: secondsText(pauseMs), note: 'no write of the client got through' },
    ...(loaded === null ? [] : [{ name: 'loaded', value: loadedText(loaded), note: loadedNote(loaded) }]),
    { name: 'acknowledged', value: countText(acknowledged, 'write'), note: 'by the leader of the moment' },
    { name: 'lost', value: countText(lost, 'write'), note: 'acknowledged, and the group no longer has them' },
    {
      name: 'RPO as reported',
      value: rpo === null ? missing : countText(rpo, 'record'),
      note: 'the most that may be lost, as the failover said',
    },
    ...(zombies === null
      ? []
      : [
          {
            name: 'zombie writes',
            value: countText(zombies, 'write'),
            note: 'made by the old leader past its lease, for who asked for none; they are kept',
          },
        ]),
    ...(late === null
      ? []
      : [
          {
            name: 'late answers',
            value: countText(late, 'write'),
            note: 'committing when its server froze, acknowledged when it woke up; they are kept',
          },
        ]),
    { name: 'divergent', value: countText(divergent, 'change'), note: divergenceNote(report) },
    {
      name: 'digests',
      value: digestsEqual ? 'equal' : 'different',
      note: digestsEqual ? 'all replicas hold the same items' : 'the replicas do not hold the same items',
    },
  ];
}

function wasPromoted({ fence }: DrillReport): boolean {
  return fence !== null;
}

function divergenceNote({ divergent, divergentSample }: DrillReport): string {
  if (divergent === 0) return 'no Region had what the group has not';
  const shown = divergentSample.length;
  return shown < divergent ? `kept; the report shows ${shown} of them` : 'kept; the report shows them';
}

export const CANDIDATE_HEAD = ['Region', 'epoch', 'LSN', 'applied', 'verdict', 'why'];

/** One row a candidate of the election, with why it was taken or not. */
export function candidateRows({ candidates, leader }: DrillReport): readonly (readonly string[])[] {
  const winner = candidates.find((each) => fieldOf(each, 'region') === leader);
  return candidates.map((each) => {
    const eligible = fieldOf(each, 'eligible') === true;
    const why = textOf(fieldOf(each, 'why'));
    const cells = ['region', 'epoch', 'lsn', 'appliedLsn'].map((name) => textOf(fieldOf(each, name)));
    if (!eligible) return [...cells, 'rejected', why];
    if (each === winner) return [...cells, 'promoted', why];
    return [...cells, 'passed over', winner === undefined ? why : `${why}, but ${behind(each, winner)}`];
  });
}

function behind(candidate: unknown, winner: unknown): string {
  const same = ['epoch', 'lsn'].every((name) => fieldOf(candidate, name) === fieldOf(winner, name));
  const region = textOf(fieldOf(winner, 'region'));
  return same ? `${region} has as much and comes first` : `${region} has more`;
}

export const FENCE_HEAD = ['rung', 'proven', 'what it rests on'];

/** One row a rung of the fence, from the weakest assumption on. */
export function fenceRows({ fence }: DrillReport): readonly (readonly string[])[] {
  if (fence === null) return [];
  return RUNGS.map((rung) => [RUNG_NAMES[rung], fence[rung].proven ? 'yes' : 'no', fence[rung].detail]);
}

/** What happened, and how often if more than once. */
export function whatText({ what, times }: DrillEvent): string {
  return times === undefined ? what : `${what} (${times} times)`;
}

export const DIVERGENT_HEAD = ['key', 'before', 'after', 'time'];

/** One row a change of the sample of what diverged. */
export function divergentRows({ divergentSample }: DrillReport): readonly (readonly string[])[] {
  return divergentSample.map((change) => [
    itemText(fieldOf(change, 'key')),
    itemText(fieldOf(change, 'before')),
    itemText(fieldOf(change, 'after')),
    textOf(fieldOf(change, 'at')),
  ]);
}

/** An item in DynamoDB JSON, for people: names and values without the types. */
function itemText(item: unknown): string {
  if (item === null) return 'no item';
  if (item === undefined || typeof item !== 'object') return textOf(item);
  return Object.entries(item)
    .map(([name, value]) => `${name}: ${attributeText(value)}`)
    .join(', ');
}

function attributeText(value: unknown): string {
  const plain = fieldOf(value, 'S') ?? fieldOf(value, 'N');
  return typeof plain === 'string' ? plain : JSON.stringify(value);
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return 'unknown';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** The sentences at the end: what failed, or how it all ended. */
export function closingLines(report: DrillReport): readonly string[] {
  const { ok, failures, epoch, leader, lost, reportedRpoRecords: rpo } = report;
  if (!ok) return failures.length > 0 ? failures : ['It failed without saying why.'];
  const leads = wasPromoted(report) ? `leads in epoch ${epoch}` : `leads on, in epoch ${epoch}`;
  const reported = rpo === null ? 'how many it could be was unknown' : `at most ${rpo} had been reported`;
  const loss =
    lost === 0
      ? 'No acknowledged write is lost.'
      : `Lost: ${countText(lost, 'acknowledged write')}; ${reported}.`;
  return [`${leader} ${leads}, and every other Region follows it. ${loss}`];
}

export function secondsText(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}

/** A moment relative to the fault. */
export function momentText(ms: number): string {
  return `${ms < 0 ? '-' : '+'}${secondsText(Math.abs(ms))}`;
}

export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
