import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import type { DivergentItem } from '#lib/domain/control/divergence.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { MemoryControl } from '#lib/local/memory/memory-control.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import type { ApplyLease, Control } from '#lib/ports/control.ts';
import type { Divergences } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { ApplyOutcome } from '#lib/ports/replica-store.ts';
import type { Monitor } from './monitor.ts';
import type { SimStore } from './store.ts';

export function watchedAcceptor(
  inner: AcceptorStore,
  region: RegionId,
  monitor: Monitor,
  see: (item: Acceptor) => void,
): AcceptorStore {
  const seen = async <A extends { readonly acceptor: Acceptor }>(answer: Promise<A>): Promise<A> => {
    const given = await answer;
    see(given.acceptor);
    return given;
  };
  return {
    read: () => inner.read(),
    prepare: (ballot) => seen(inner.prepare(ballot)),
    beat: (beat) => seen(inner.beat(beat)),
    vote: (...call) => seen(inner.vote(...call)),
    unvote: (...call) => seen(inner.unvote(...call)),
    draw: (...call) => seen(inner.draw(...call)),
    async join(ballot, value) {
      const answer = await seen(inner.join(ballot, value));
      if (answer.kind === 'joined') monitor.leadership.accepted(region, ballot, value);
      return answer;
    },
    async accept(ballot, value, ...more) {
      const answer = await seen(inner.accept(ballot, value, ...more));
      if (answer.kind === 'accepted') monitor.leadership.accepted(region, ballot, value);
      return answer;
    },
  };
}

export function watchedControl(inner: Control, region: RegionId, monitor: Monitor, store: SimStore): Control {
  return {
    role: () => inner.role(),
    applyState: (lane) => inner.applyState(lane),
    async saveApplyState(lease, state) {
      const outcome = await inner.saveApplyState(lease, state);
      if (outcome === 'saved' && state.applied !== undefined)
        monitor.data.positioned(region, state.applied.lsn);
      return outcome;
    },
    noteRewound: (lease, rewound) => inner.noteRewound(lease, rewound),
    async takeLease(lane) {
      const taken = await inner.takeLease(lane);
      store.newestLease = taken.lease;
      return taken;
    },
    async nameLeader(next) {
      const outcome = await inner.nameLeader(next);
      if (outcome === 'named') monitor.leadership.named(region, next.epoch, next.leader);
      return outcome;
    },
    async attach(epoch) {
      const outcome = await inner.attach(epoch);
      if (outcome === 'attached') {
        monitor.log.attached(region, epoch);
        monitor.data.attached(region);
      }
      return outcome;
    },
  };
}

export function watchedLog(
  inner: ReplicaLog,
  region: RegionId,
  monitor: Monitor,
  onAppend: () => void,
): ReplicaLog {
  return {
    putSegment: (hash, bytes, at) => inner.putSegment(hash, bytes, at),
    getSegment: (hash) => inner.getSegment(hash),
    head: (lane) => inner.head(lane),
    entries: (lane, from, limit) => inner.entries(lane, from, limit),
    entryAt: (lane, lsn) => inner.entryAt(lane, lsn),
    async append(lane, expected, entries, authority) {
      const outcome = await inner.append(lane, expected, entries, authority);
      if (outcome.kind === 'appended' && !outcome.again) {
        monitor.log.appended(region, entries, authority);
        onAppend();
      }
      return outcome;
    },
    async seal(lane, epoch) {
      const outcome = await inner.seal(lane, epoch);
      if (outcome.kind === 'sealed') monitor.log.sealed(region, epoch);
      return outcome;
    },
    async rewind(lane, expected, entry) {
      const head = await inner.rewind(lane, expected, entry);
      monitor.log.rewound(region, head.lastLsn);
      return head;
    },
    async rebase(lane, expected, onto) {
      const before = await inner.head(lane);
      const head = await inner.rebase(lane, expected, onto);
      if (head.chain === onto.chain && head.firstLsn === onto.lastLsn + 1n && before.chain !== head.chain) {
        monitor.log.rebased(region, { lsn: onto.lastLsn, chain: onto.chain });
      }
      return head;
    },
  };
}

export function watchedDivergences(inner: Divergences, region: RegionId, monitor: Monitor): Divergences {
  return {
    put: (hash, bytes) => inner.put(hash, bytes),
    get: (hash) => inner.get(hash),
    collect: (epoch, draft) => inner.collect(epoch, draft),
    of: (epoch) => inner.of(epoch),
    discard: (epoch, by) => inner.discard(epoch, by),
    async save(epoch, report) {
      const bytes = await inner.get(report.hash);
      const reported = monitor.log.reported.get(region) ?? new Set();
      for (const line of Buffer.from(bytes).toString().split('\n')) {
        if (line !== '') reported.add((JSON.parse(line) as { key: { id: { S: string } } }).key.id.S);
      }
      monitor.log.reported.set(region, reported);
      return inner.save(epoch, report);
    },
  };
}

/** What a process may ask of a store. */
export type DataStore = Pick<
  SimStore,
  'write' | 'canary' | 'raise' | 'lower' | 'apply' | 'beginSnapshot' | 'stepSnapshot' | 'rewind'
>;

export function watchedStore(inner: SimStore, control: MemoryControl, monitor: Monitor): DataStore {
  const { region, table } = inner;
  /** Nobody who has lost the lease may do anything, or be told that it is done. */
  const held = async <T>(
    what: string,
    lease: ApplyLease,
    act: () => Promise<T>,
    lost: (outcome: T) => boolean,
  ) => {
    const isLate = !control.holds(lease);
    const { version } = table;
    const outcome = await act();
    if (isLate) {
      monitor.counts.late += 1;
      if (table.version !== version || !lost(outcome))
        monitor.violated(3, `${region}: ${what} by one whose lease was taken (token ${lease.token})`);
    }
    return outcome;
  };
  const isLost = ({ kind }: ApplyOutcome) => kind === 'lost';
  return {
    write: (ids) => inner.write(ids),
    canary: () => inner.canary(),
    raise: (epoch) => inner.raise(epoch),
    lower: (epoch) => inner.lower(epoch),
    async apply(lease, state, run) {
      const before = (await control.applyState(LANE_0)).applied;
      const { version } = table;
      const { size } = table.times;
      const outcome = await held('applied', lease, () => inner.apply(lease, state, run), isLost);
      const after = (await control.applyState(LANE_0)).applied;
      if (after === undefined || after.lsn === before?.lsn) {
        if (table.version !== version)
          monitor.violated(5, `${region}: changes were made although LSN ${before?.lsn} was not passed`);
        return outcome;
      }
      const [first] = run;
      if (before === undefined || first!.entry.first > before.lsn + 1n)
        monitor.violated(5, `${region}: LSN ${first?.entry.first} was applied on top of ${before?.lsn}`);
      const strange = run.find(({ entry }) => !monitor.log.holds(region, entry));
      if (strange)
        monitor.violated(5, `${region}: LSN ${strange.entry.first} was applied, but is not in its log`);
      monitor.data.applied(region, before?.lsn ?? 0n, after.lsn, table.times.size - size);
      return outcome;
    },
    beginSnapshot: (lease, at) => held('a copy begun', lease, () => inner.beginSnapshot(lease, at), isLost),
    stepSnapshot: (lease, state, at) =>
      held('a copy ended', lease, () => inner.stepSnapshot(lease, state, at), isLost),
    async rewind(lease, changes, at) {
      const reported = monitor.log.reported.get(region);
      const undo = () => inner.rewind(lease, changes, at);
      const outcome = await held('taken back', lease, undo, (kind) => kind === 'lost');
      if (outcome === 'lost') return outcome;
      for (const { key } of changes) {
        const id = idOf(key);
        if (!reported?.has(id))
          monitor.violated(11, `${region}: record ${id} was undone before it was reported`);
      }
      return outcome;
    },
  };
}

function idOf(key: DivergentItem['key']): string {
  const id = key.id;
  return id !== undefined && 'S' in id ? `${id.S}` : '';
}
