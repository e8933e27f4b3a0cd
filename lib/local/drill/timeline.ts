import type { Rung } from '#lib/domain/control/fence.ts';
import type { DrillEvent, DrillPhases } from '#lib/local/drill/drill-report.ts';

/** A line of telemetry of a worker. Fields beyond these depend on the kind. */
export type TelemetryLine = {
  readonly kind: string;
  readonly atMs: number;
  readonly region: string;
  readonly [field: string]: unknown;
};

/** With `mayRepeat`, the like of it follows at once where there is more of it. */
type Told = { readonly phase: DrillEvent['phase']; readonly what: string; readonly mayRepeat?: true };

/** The rungs of the fence, for people. */
export const RUNG_NAMES: Readonly<Record<Rung, string>> = {
  log: 'seal of the log',
  lease: 'lease',
  watchdog: 'watchdog of the old Region',
  engine: 'fence of the store',
  host: 'host hook',
};

/** What the events of the control path mean to a reader; events of other kinds are left out. */
const STORIES: Readonly<Record<string, (line: TelemetryLine) => Told>> = {
  voted: ({ epoch }) => ({
    phase: 'detect',
    what: `beats missed and no write comes through: votes against epoch ${epoch}`,
  }),
  'leader-silent': ({ leader }) => ({
    phase: 'detect',
    what: `beats missed, but ${leader} takes writes: no vote`,
  }),
  'vote-withdrawn': ({ epoch }) => ({
    phase: 'detect',
    what: `beats of epoch ${epoch} are back: takes its vote back`,
  }),
  'canary-slow': ({ ms }) => ({
    phase: 'detect',
    what: `a canary took ${Math.round(Number(ms))} ms: slow, but alive`,
  }),
  'canary-failed': () => ({ phase: 'detect', what: 'a canary failed: the leader stops beating' }),
  'lease-lost': ({ epoch }) => ({
    phase: 'detect',
    what: `its lease on epoch ${epoch} is over: it takes no more writes`,
  }),
  deposed: ({ epoch }) => ({ phase: 'reattach', what: `finds that epoch ${epoch} is over` }),
  'failover-held': ({ why }) => ({ phase: 'detect', what: `a majority has voted, but no failover: ${why}` }),
  'failover-started': ({ run }) => ({
    phase: 'claim',
    what: `a majority has voted: starts the failover ${run}`,
  }),
  'failover-yield': ({ detail, outcome }) => ({
    phase: 'claim',
    what: `gives up its lease and logs its last writes: ${detail ?? outcome}`,
  }),
  'failover-claim': ({ detail, outcome }) => ({
    phase: 'claim',
    what: outcome === 'superseded' ? `gives up its run: ${detail}` : `claim: ${detail ?? outcome}`,
  }),
  'fence-rung': ({ rung, proven, detail }) => ({
    phase: 'fence',
    what: `${RUNG_NAMES[rung as Rung]}: ${proven ? 'proven' : 'not proven'}, ${detail}`,
  }),
  'failover-fence': ({ outcome, detail }) => ({
    phase: 'fence',
    what: outcome === 'fenced' ? `fenced: logs sealed, ${detail}` : `not fenced yet: ${detail ?? outcome}`,
  }),
  candidate: ({ candidate, lsn, why }) => ({ phase: 'elect', what: `${candidate}, at LSN ${lsn}: ${why}` }),
  'failover-elect': ({ outcome, detail }) => ({ phase: 'elect', what: `elected: ${detail ?? outcome}` }),
  'failover-drain': ({ outcome, detail }) => ({
    phase: 'drain',
    what:
      outcome === 'drained' ? `the winner has what is left of the log ${detail}` : `${outcome}: ${detail}`,
    ...(outcome === 'draining' && { mayRepeat: true }),
  }),
  'failover-promote': ({ outcome, detail }) => ({
    phase: 'promote',
    what: `promotion: ${detail ?? outcome}`,
  }),
  'failover-repoint': ({ outcome, detail }) => ({ phase: 'repoint', what: repointText(outcome, detail) }),
  'failover-dns': ({ outcome }) => ({ phase: 'repoint', what: `DNS is ${outcome}` }),
  'failover-verify': ({ outcome }) => ({
    phase: 'end',
    what: `a write at the new leader and DNS: ${outcome}`,
  }),
  'failover-abandon': () => ({ phase: 'end', what: 'the switchover is taken back: the leader leads on' }),
  collected: () => ({
    phase: 'reattach',
    what: 'its log takes nothing any more: what its store still took is set aside, to be compared',
    mayRepeat: true,
  }),
  'divergence-saved': ({ changes, keys }) => ({
    phase: 'reattach',
    what: `saves what the group does not have: ${changes} changes of ${keys} keys`,
  }),
  reattached: ({ epoch }) => ({ phase: 'reattach', what: `follows the leader of epoch ${epoch} now` }),
  rebuilding: () => ({ phase: 'reattach', what: 'takes a new copy of the leader' }),
};

function repointText(outcome: unknown, detail: unknown): string {
  if (outcome === 'by-health-checks') return 'no DNS record to change: health checks follow the lease';
  if (outcome === 'already') return `the DNS record ${detail}`;
  return `change of the DNS record: ${outcome}${detail ? ` ${detail}` : ''}`;
}

/** The event of a drill that a line of telemetry tells, if it tells one, and whether it may be told again and again. */
export function tell(
  line: TelemetryLine,
  faultMs: number,
): readonly { readonly event: DrillEvent; readonly mayRepeat: boolean }[] {
  const told: Told | undefined =
    line.kind === 'failed' && line.code === 'LOG_FENCED'
      ? { phase: 'reattach', what: 'its late append is refused: the log is sealed', mayRepeat: true }
      : STORIES[line.kind]?.(line);
  if (told === undefined) return [];
  const { mayRepeat = false, phase, what } = told;
  return [{ event: { atMs: line.atMs - faultMs, at: line.region, phase, what }, mayRepeat }];
}

/** The first claim of another epoch that went through; undefined while there is none. */
export function claimOf(lines: readonly TelemetryLine[]): TelemetryLine | undefined {
  return lines.find(({ kind, outcome }) => kind === 'failover-claim' && outcome === 'claimed');
}

/** How long each phase took, by the telemetry of the run that promoted; null where it is not known. All times are Unix ms. */
export function phasesOf(
  lines: readonly TelemetryLine[],
  run: string,
  times: { readonly lastWriteMs: number | undefined; readonly firstWriteMs: number | undefined },
): DrillPhases {
  const at = (kind: string): number | undefined =>
    lines.findLast((line) => line.kind === kind && line.run === run)?.atMs;
  const started = at('failover-started') ?? at('failover-yield');
  const span = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? null : Math.max(0, Math.round(to - from));
  const insync = at('failover-dns') ?? at('failover-repoint');
  return {
    detectMs: span(times.lastWriteMs, started),
    claimMs: span(started, at('failover-claim')),
    fenceMs: span(at('failover-claim'), at('failover-fence')),
    electMs: span(at('failover-fence'), at('failover-elect')),
    drainMs: span(at('failover-elect'), at('failover-drain')),
    promoteMs: span(at('failover-drain'), at('failover-promote')),
    repointMs: span(at('failover-promote'), insync),
    firstWriteMs: span(insync, times.firstWriteMs),
  };
}
