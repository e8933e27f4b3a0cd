import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import {
  cameToNothing,
  type KnownDivergence,
  type RegionSurvey,
  type Survey,
} from '#lib/domain/control/survey.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';
import type { Approvals } from '#lib/ports/approvals.ts';
import type { Control } from '#lib/ports/control.ts';
import type { Divergences } from '#lib/ports/divergences.ts';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';
import type { History } from '#lib/ports/history.ts';
import type { LeaderRecord } from '#lib/ports/leader-record.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { SteadyClock } from '#lib/ports/telemetry.ts';
import { roleOf } from '#lib/usecases/control/role-of.ts';
import { standingOf } from '#lib/usecases/control/standing.ts';
import type { FailedTry } from '#lib/usecases/control/take-step.ts';

/** Reads alone: what is made from a survey cannot have changed anything. */
export type SurveyDeps = {
  readonly replicas: readonly RegionId[];
  readonly witnesses: readonly RegionId[];
  readonly peers: {
    acceptor(region: RegionId): Pick<AcceptorStore, 'read'>;
    log(region: RegionId): Pick<ReplicaLog, 'head'>;
    control(region: RegionId): Pick<Control, 'role' | 'applyState'>;
    /** These are asked only where they are given. */
    divergences?(region: RegionId): Pick<Divergences, 'of'>;
    approvals?(region: RegionId): Pick<Approvals, 'pending'>;
    history?(region: RegionId): Pick<History, 'of'>;
    alarms?(region: RegionId): AlarmStates;
  };
  /** The alarms that are asked for. */
  readonly alarmNames?: readonly string[];
  /** The record's look, in DNS's control plane or, where health checks choose, by DNS itself. */
  readonly record?: { readonly name: string } & (
    | { readonly of: Pick<LeaderRecord, 'read'> }
    | { readonly vantages: DnsVantages; readonly targets: Readonly<Record<RegionId, string>> }
  );
  readonly clock: SteadyClock;
  readonly sleep: (ms: number) => Promise<void>;
  /** How long one Region, or DNS, may take to answer everything, ms. */
  readonly patienceMs: number;
};

/** How many epochs a Region's divergences are looked for in, from the newest back. */
const EPOCHS = 50;

/** Asks every Region where it stands, all at once. One that does not answer in time is reported, never waited for. */
export async function surveyGroup(deps: SurveyDeps): Promise<Survey> {
  const { clock, record, replicas, witnesses } = deps;
  const [answers, dns] = await Promise.all([
    Promise.all([
      ...replicas.map((region) => surveyRegion(deps, { region }, learn)),
      ...witnesses.map((region) => surveyRegion(deps, { region, witness: true }, learnAcceptor)),
    ]),
    record && surveyDns(deps, record),
  ]);
  return { atMs: clock.now(), regions: answers, ...(dns && { dns }) };
}

type Known = { -readonly [K in keyof RegionSurvey]: RegionSurvey[K] };

async function surveyRegion(
  deps: SurveyDeps,
  known: Known,
  ask: (deps: SurveyDeps, known: Known) => Promise<unknown>,
): Promise<RegionSurvey> {
  const asked = deps.peers.alarms && surveyAlarms(deps, deps.peers.alarms(known.region));
  let error: { readonly error?: string } = {};
  try {
    await within(deps, ask(deps, known));
  } catch (failure) {
    error = { error: messageOf(failure) };
  }
  // A copy of what is known by now: what still arrives is for nobody.
  const answer = { ...known, ...error };
  const alarms = await asked;
  return { ...answer, ...(alarms && { alarms }) };
}

/** CloudWatch may be away where all else is up, and the other way round. */
async function surveyAlarms(
  deps: SurveyDeps,
  alarms: AlarmStates,
): Promise<NonNullable<RegionSurvey['alarms']>> {
  try {
    return await within(deps, alarms.of(deps.alarmNames ?? []));
  } catch (failure) {
    return { error: messageOf(failure) };
  }
}

/** Reads twice: the time of the second is that of an open connection. */
async function learnAcceptor({ clock, peers }: SurveyDeps, known: Known): Promise<Acceptor> {
  const acceptor = peers.acceptor(known.region);
  await acceptor.read();
  const begunMs = clock.steadyMs();
  known.acceptor = await acceptor.read();
  known.roundTripMs = clock.steadyMs() - begunMs;
  return known.acceptor;
}

async function learn(deps: SurveyDeps, known: Known): Promise<void> {
  const { peers } = deps;
  const { region } = known;
  const { accepted } = await learnAcceptor(deps, known);
  const role = await roleOf(peers.control(region));
  if (role !== undefined) known.role = role;
  const newest = Math.max(accepted?.value.epoch ?? 0, role?.epoch ?? 0);
  const register = accepted?.value;
  const [{ head, state }, divergences, approval, failed] = await Promise.all([
    standingOf(peers.log(region), peers.control(region)),
    peers.divergences && divergencesOf(peers.divergences(region), newest, role),
    peers.approvals?.(region).pending(),
    register && peers.history && failureOf(peers.history(region), register),
  ]);
  const { applied, snapshot, unfit } = state;
  known.head = head;
  if (applied !== undefined) {
    known.applied = { lsn: applied.lsn, totalBytes: applied.totalBytes, commitMs: applied.commitMs };
  }
  known.copying = snapshot !== undefined;
  if (unfit !== undefined) known.unfit = unfit;
  if (divergences !== undefined) known.divergences = divergences;
  if (failed !== undefined) known.failed = failed;
  if (approval !== undefined) {
    known.approval = { run: approval.input.run, askedAtMs: approval.askedAtMs };
  }
}

/** The try that a run has made last here, if it failed. */
async function failureOf(
  history: Pick<History, 'of'>,
  { epoch, run }: Register,
): Promise<RegionSurvey['failed']> {
  const last = (await history.of(epoch)).findLast((each) => each.run === run);
  const { outcome, code, why } = Object(last?.outcome) as Partial<FailedTry>;
  if (last === undefined || outcome !== 'failed') return undefined;
  return { run, step: last.step, why: String(why), ...(code !== undefined && { code }) };
}

async function divergencesOf(
  divergences: Pick<Divergences, 'of'>,
  newest: number,
  role: Role | undefined,
): Promise<readonly KnownDivergence[]> {
  const found = await Promise.all(epochsUpTo(newest, EPOCHS).map((epoch) => divergences.of(epoch)));
  return found.flatMap((each) =>
    each === undefined ||
    (role !== undefined && cameToNothing(role, { epoch: each.epoch, isReported: each.report !== undefined }))
      ? []
      : [
          {
            epoch: each.epoch,
            ...(each.report && { changes: each.report.changes }),
            discarded: each.discarded !== undefined,
          },
        ],
  );
}

/** The newest `limit` epochs up to `newest`, in order. */
export function epochsUpTo(newest: number, limit = Number.POSITIVE_INFINITY): readonly Epoch[] {
  const count = Math.min(newest, limit);
  return Array.from({ length: count }, (_, index) => parseEpoch(newest - count + 1 + index));
}

async function surveyDns(
  deps: SurveyDeps,
  record: NonNullable<SurveyDeps['record']>,
): Promise<NonNullable<Survey['dns']>> {
  const { name } = record;
  try {
    if ('vantages' in record) return { name, regions: await within(deps, regionsNamed(record)) };
    const leader = await within(deps, record.of.read());
    return { name, ...(leader && { leader }) };
  } catch (error) {
    return { name, error: messageOf(error) };
  }
}

/** Throws where a vantage answers with nothing, or with what is no Region's. */
async function regionsNamed({
  targets,
  vantages,
}: Extract<SurveyDeps['record'], { readonly vantages: DnsVantages }>): Promise<readonly RegionId[]> {
  const known = Object.entries(targets) as [RegionId, string][];
  const found = new Set<RegionId>();
  for (const sight of await vantages.ask(known[0]![1])) {
    if ('error' in sight) throw new Error(`${sight.vantage} does not answer: ${sight.error}`);
    for (const target of sight.targets) {
      const region = known.find(([, each]) => each === target)?.[0];
      if (region === undefined) throw new Error(`${sight.vantage} names ${target}, which no Region is`);
      found.add(region);
    }
  }
  return [...found].sort();
}

async function within<T>({ patienceMs, sleep }: SurveyDeps, work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    sleep(patienceMs).then(() => {
      throw new Error(`no answer in ${patienceMs} ms`);
    }),
  ]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
