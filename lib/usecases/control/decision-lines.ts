import { RUNGS, type Rungs } from '#lib/domain/control/fence.ts';
import type {
  CandidateReport,
  ClaimResult,
  DrainResult,
  ElectResult,
  FenceResult,
  PromoteResult,
  RepointResult,
  SealReport,
  YieldResult,
} from '#lib/usecases/control/failover-deps.ts';
import type { FailedTry } from '#lib/usecases/control/take-step.ts';

type Outcome =
  | FailedTry
  | ClaimResult
  | FenceResult
  | ElectResult
  | DrainResult
  | PromoteResult
  | RepointResult
  | YieldResult;
type Line = readonly [kind: string, fields: Readonly<Record<string, string | number | boolean>>];

/** What a decision rests on, a line of telemetry each: the rungs of a fence, the candidates of an election. */
export function findingsOf(outcome: unknown): readonly Line[] {
  const { rungs, candidates } = Object(outcome) as {
    readonly rungs?: Rungs;
    readonly candidates?: readonly CandidateReport[];
  };
  return [
    ...RUNGS.flatMap((rung): readonly Line[] => (rungs ? [['fence-rung', { rung, ...rungs[rung] }]] : [])),
    ...(candidates ?? []).map(
      ({ region, epoch, lsn, eligible, why }): Line => [
        'candidate',
        { candidate: region, lastEpoch: epoch, lsn, eligible, why },
      ],
    ),
  ];
}

/** What a decision came to beyond the name of its outcome, as a clause; undefined if the name says it all. */
export function detailOf(outcome: unknown): string | undefined {
  const { outcome: name } = Object(outcome) as Partial<Outcome>;
  const detail = name && (DETAILS[name] as ((outcome: unknown) => string) | undefined);
  return detail?.(outcome);
}

const DETAILS: {
  readonly [Name in Outcome['outcome']]?: (outcome: Extract<Outcome, { outcome: Name }>) => string;
} = {
  yielded: ({ lsn, unproven }) =>
    unproven === undefined ? `up to LSN ${lsn}` : `up to LSN ${lsn}; not proven to be all: ${unproven}`,
  claimed: ({ epoch, from }) => `claimed epoch ${epoch}, after ${from}`,
  superseded: ({ epoch }) => `another run has taken epoch ${epoch}`,
  refused: ({ code, why }) => `refused, ${code}: ${why}`,
  withheld: ({ why }) => why,
  fenced: ({ seals }) => sealsText(seals),
  unproven: ({ why, waitSeconds }) => `${why}: waits ${waitSeconds} s`,
  elected: ({ winner, rpo }) => `${winner}; ${lossText(rpo.records)}`,
  none: () => 'nobody is eligible',
  drained: ({ lsn }) => `up to LSN ${lsn}`,
  draining: ({ lsn, target }) => `at LSN ${lsn} of ${target}`,
  promoted: ({ leader, epoch }) => `${leader} leads in epoch ${epoch}`,
  submitted: ({ target }) => `to ${target}`,
  failed: ({ code, why }) => (code === undefined ? why : `${code}: ${why}`),
  already: ({ target }) => `names ${target} already`,
};

function lossText(records: number | null): string {
  if (records === null) return 'how many records may be lost is unknown';
  return records === 0 ? 'no record can be lost' : `at most ${records} records may be lost`;
}

function sealsText(seals: readonly SealReport[]): string {
  const sealed = seals.flatMap((each) => (each.sealed ? [`${each.region} at LSN ${each.lsn}`] : []));
  const open = seals.flatMap((each) => (each.sealed ? [] : [each.region]));
  return `${sealed.join(', ')}${open.length > 0 ? `; no answer from ${open.join(', ')}` : ''}`;
}
