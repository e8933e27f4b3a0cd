import {
  type Acceptor,
  accept,
  BALLOT_ZERO,
  type Ballot,
  type Beat,
  beat,
  draw,
  epochOf,
  join,
  NO_ACCEPTOR,
  prepare,
  unvote,
  vote,
} from '#lib/domain/control/acceptor.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import type { Control } from '#lib/ports/control.ts';
import type { Rewinder } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { ElectResult } from '#lib/usecases/control/failover-deps.ts';
import type { Bug } from './bug.ts';
import { decode } from './store.ts';

const RULES = { prepare, accept, join, beat, vote, unvote, draw };

/** An acceptor whose item moves by other rules than the domain's. */
function acceptorBy(
  rules: Partial<typeof RULES>,
  onCrash?: (item: Acceptor) => Acceptor,
): NonNullable<Bug['acceptor']> {
  const by = { ...RULES, ...rules };
  return (_, crashes) => {
    let item = NO_ACCEPTOR;
    const keep = <A extends { readonly acceptor: Acceptor }>(answer: A): A => {
      item = answer.acceptor;
      return answer;
    };
    if (onCrash !== undefined) {
      crashes(() => {
        item = onCrash(item);
      });
    }
    const store: AcceptorStore = {
      read: async () => item,
      prepare: async (ballot) => keep(by.prepare(item, ballot)),
      accept: async (...call) => keep(by.accept(item, ...call)),
      join: async (...call) => keep(by.join(item, ...call)),
      beat: async (sent) => keep(by.beat(item, sent)),
      vote: async (...call) => keep(by.vote(item, ...call)),
      unvote: async (...call) => keep(by.unvote(item, ...call)),
      draw: async (drawn) => keep(by.draw(item, drawn)),
    };
    return store;
  };
}

/** A log with some methods in other hands. */
function logBy(change: (sound: ReplicaLog) => Partial<ReplicaLog>): NonNullable<Bug['log']> {
  return (sound) => {
    const plain: ReplicaLog = {
      putSegment: (...args) => sound.putSegment(...args),
      getSegment: (...args) => sound.getSegment(...args),
      head: (...args) => sound.head(...args),
      entries: (...args) => sound.entries(...args),
      entryAt: (...args) => sound.entryAt(...args),
      append: (...args) => sound.append(...args),
      seal: (...args) => sound.seal(...args),
      rebase: (...args) => sound.rebase(...args),
      rewind: (...args) => sound.rewind(...args),
    };
    return { ...plain, ...change(sound) };
  };
}

function controlBy(change: (sound: Control) => Partial<Control>): NonNullable<Bug['control']> {
  return (sound) => ({
    role: () => sound.role(),
    nameLeader: (next) => sound.nameLeader(next),
    attach: (epoch) => sound.attach(epoch),
    applyState: (lane) => sound.applyState(lane),
    takeLease: (lane) => sound.takeLease(lane),
    saveApplyState: (lease, state) => sound.saveApplyState(lease, state),
    noteRewound: (lease, rewound) => sound.noteRewound(lease, rewound),
    ...change(sound),
  });
}

/** Each breaks one rule, outside the code that is tested: a sound part is wrapped or replaced. */
export const BUGS: readonly Bug[] = [
  {
    name: 'accept-without-vote',
    breaks: 'a Region accepts an epoch only after it has voted against the one before',
    seeds: [110, 30],
    acceptor: acceptorBy({
      accept: (item, ballot, value) => accept({ ...item, vote: (value.epoch - 1) as Epoch }, ballot, value),
    }),
  },
  {
    name: 'beat-after-vote',
    breaks: 'a Region that has voted against an epoch lends its leader no lease',
    seeds: [4, 23],
    acceptor: acceptorBy({
      beat: (item, sent) => {
        const { vote: against, ...rest } = item;
        const answer = beat(rest, sent);
        const acceptor = against === undefined ? answer.acceptor : { ...answer.acceptor, vote: against };
        return { ...answer, acceptor };
      },
    }),
  },
  {
    name: 'beat-after-accept',
    breaks: 'a Region that has accepted a higher epoch lends no lease to the old one',
    seeds: [2, 1],
    acceptor: acceptorBy({
      beat: (item, sent) =>
        (item.vote ?? -1) >= sent.epoch || epochOf(item) > sent.epoch
          ? { kind: 'lent', acceptor: item }
          : beat(item, sent),
    }),
  },
  {
    name: 'promise-forgotten',
    breaks: 'a promise outlives the process that gave it',
    seeds: [2, 1],
    acceptor: acceptorBy({}, (item) => ({ ...item, promised: BALLOT_ZERO })),
  },
  {
    name: 'promise-ignored',
    breaks: 'a promise keeps lower ballots out',
    seeds: [1, 2],
    acceptor: acceptorBy({
      accept: (item, ballot, value) => {
        const answer = accept({ ...item, promised: BALLOT_ZERO }, ballot, value);
        return answer.kind === 'accepted' ? answer : { ...answer, acceptor: item };
      },
    }),
  },
  {
    name: 'ballot-reused',
    breaks: 'no two proposals have one ballot',
    seeds: [1, 2],
    acceptors: (sound) => {
      const plain = (ballot: Ballot) => ballot.slice(0, 12) as Ballot;
      return {
        members: sound.members,
        of: (region) => {
          const at = sound.of(region);
          return {
            read: () => at.read(),
            prepare: (ballot) => at.prepare(plain(ballot)),
            accept: (ballot, ...rest) => at.accept(plain(ballot), ...rest),
            join: (ballot, value) => at.join(plain(ballot), value),
            beat: (sent) => at.beat(sent),
            vote: (...call) => at.vote(...call),
            unvote: (...call) => at.unvote(...call),
            draw: (drawn) => at.draw(drawn),
          };
        },
      };
    },
  },
  {
    name: 'majority-of-one-too-few',
    breaks: 'a majority is more than half',
    seeds: [1, 2],
    // A proposer that hears one Region too few takes its own for another's.
    acceptors: (sound, region) => {
      const proxies = new Map<RegionId, AcceptorStore>();
      const others = sound.members.filter((each) => each !== region);
      const [first] = others;
      return {
        members: sound.members,
        of: (at) => {
          if (at !== first) return sound.of(at);
          const own = proxies.get(at) ?? { ...sound.of(at) };
          own.prepare = (ballot) => sound.of(region).prepare(ballot);
          own.accept = (...call) => sound.of(region).accept(...call);
          proxies.set(at, own);
          return own;
        },
      };
    },
  },
  {
    name: 'lease-from-the-answer',
    breaks: 'a lease runs from when the beat was sent, not from when its answer came',
    seeds: [2, 1],
    sentinel: (make, deps) => {
      let answeredMs: number | undefined;
      let epoch: Epoch | undefined;
      const { acceptors } = deps;
      const sound = make({
        ...deps,
        acceptors: {
          members: acceptors.members,
          of: (region) => {
            const at = acceptors.of(region);
            return {
              ...at,
              beat: (sent: Beat) => {
                const left = answeredMs === undefined ? 0 : leftOf();
                const grown = left > 0 && epoch === sent.epoch;
                const leaseUntilMs = grown ? deps.clock.now() + left : sent.leaseUntilMs;
                return at.beat({ ...sent, leaseUntilMs }).then((answer) => {
                  if (answer.kind === 'lent') {
                    answeredMs = deps.clock.steadyMs();
                    epoch = sent.epoch;
                  }
                  return answer;
                });
              },
            };
          },
        },
      });
      const leftOf = () => deps.profile.leaseMs - (deps.clock.steadyMs() - (answeredMs ?? 0));
      return {
        tick: () => sound.tick(),
        get leaseLeftMs() {
          return sound.leaseLeftMs === 0 && (answeredMs === undefined || leftOf() <= 0)
            ? 0
            : Math.max(sound.leaseLeftMs, leftOf());
        },
      };
    },
  },
  {
    name: 'lease-by-a-frozen-clock',
    breaks: 'a process that was frozen does not take the time for its own',
    seeds: [13, 19],
    sentinel: (make, deps) => {
      const began = deps.clock.now() - deps.clock.steadyMs();
      return make({
        ...deps,
        clock: {
          now: () => Math.floor(began + deps.clock.steadyMs()),
          steadyMs: () => deps.clock.steadyMs(),
        },
      });
    },
  },
  {
    name: 'seal-ignored',
    breaks: 'no append of an epoch below the seal commits',
    seeds: [1, 2],
    log: logBy((sound) => ({
      append: async (lane, expected, entries, authority) => {
        const { sealedEpoch } = await sound.head(lane);
        const higher = Math.max(authority, sealedEpoch) as Epoch;
        return sound.append(lane, expected, entries, higher);
      },
    })),
  },
  {
    name: 'fence-skipped',
    breaks: 'the logs are sealed before a leader is elected',
    seeds: [1, 5],
    log: logBy((sound) => ({
      seal: async (lane, epoch) => {
        const head = await sound.head(lane);
        return { kind: 'sealed', head: { ...head, sealedEpoch: epoch } };
      },
    })),
  },
  {
    name: 'rpo-printed-as-0',
    breaks: 'what may be lost is foretold, never guessed as zero',
    seeds: [2, 1],
    steps: (sound) => ({
      elect: async (deps, state) => {
        const result = (await sound.elect(deps, state)) as ElectResult;
        return result.outcome === 'elected' ? { ...result, rpo: { records: 0, ms: 0 } } : result;
      },
    }),
  },
  {
    name: 'elected-by-lsn-alone',
    breaks: 'the election goes by epoch before LSN, and by position at all',
    seeds: [1, 6],
    steps: (sound) => ({
      elect: async (deps, state) => {
        const result = (await sound.elect(deps, state)) as ElectResult;
        if (result.outcome !== 'elected') return result;
        const eligible = result.candidates.filter((each) => each.eligible);
        const last = eligible.toSorted((a, b) => Number(BigInt(a.lsn) - BigInt(b.lsn)))[0]!;
        return { ...result, winner: last.region, pullFrom: [] };
      },
    }),
  },
  {
    name: 'ineligible-winner',
    breaks: 'nobody is promoted who is not eligible, unless by force',
    seeds: [1, 2],
    steps: (sound) => ({
      elect: async (deps, state) => {
        const result = (await sound.elect(deps, state)) as ElectResult;
        if (result.outcome !== 'elected') return result;
        const other = result.candidates.find((each) => !each.eligible);
        return other === undefined ? result : { ...result, winner: other.region };
      },
    }),
  },
  {
    name: 'followers-without-a-proof',
    breaks:
      'a Region follows without a comparison only if its log is proven a prefix of what the winner holds',
    seeds: [1, 2],
    steps: (sound) => ({
      elect: async (deps, state) => {
        const result = (await sound.elect(deps, state)) as ElectResult;
        if (result.outcome !== 'elected') return result;
        const others = result.candidates.filter(({ region }) => region !== result.winner);
        return { ...result, followers: others.map(({ region }) => region) };
      },
    }),
  },
  {
    name: 'promoted-before-the-drain',
    breaks: 'a leader holds what the survivors hold before it is promoted',
    seeds: [6, 3],
    steps: () => ({ drain: async () => ({ outcome: 'drained', lsn: '0' }) }),
  },
  {
    name: 'promoted-without-the-register',
    breaks: 'the register says who leads before anybody acts upon it',
    seeds: [1, 2],
    steps: () => ({
      promote: async (deps, state) => {
        const leader = state.elect?.outcome === 'elected' ? state.elect.winner : deps.region;
        const epoch = (state.input.epoch + 1) as Epoch;
        await deps.peers.control(leader).nameLeader({ epoch, leader });
        return { outcome: 'promoted', leader, epoch };
      },
    }),
  },
  {
    name: 'stale-plan-flips-dns',
    breaks: 'DNS changes only from the record that the plan was made from, and to a higher epoch',
    seeds: [1, 8],
    record: (sound) => ({
      read: () => sound.read(),
      status: (change) => sound.status(change),
      flip: async (_, to) => {
        const now = await sound.read();
        // As a plain upsert does.
        await sound.flip(now, { ...to, epoch: Math.max(to.epoch, (now?.epoch ?? 0) + 1) as Epoch });
        return { kind: 'submitted', change: '1' };
      },
    }),
  },
  {
    name: 'rewound-before-the-report',
    breaks: 'a divergent tail is saved before anything is rewound',
    seeds: [2, 1],
    reattach: (deps) => ({ ...deps, divergences: { ...deps.divergences, save: async () => {} } }),
  },
  {
    name: 'apply-lease-ignored',
    breaks: 'an applier whose lease was taken changes nothing',
    seeds: [4, 6],
    store: (sound) => {
      const apply = sound.apply.bind(sound);
      sound.apply = (lease, state, run) => apply(sound.newestLease ?? lease, state, run);
      return sound;
    },
  },
  {
    name: 'applied-twice',
    breaks: 'to apply a run again changes nothing',
    seeds: [2, 5],
    store: (sound) => {
      const apply = sound.apply.bind(sound);
      sound.apply = async (lease, state, run) => {
        const { version } = sound.table;
        const outcome = await apply(lease, state, run);
        if (outcome.kind !== 'applied' || sound.table.version !== version) return outcome;
        for (const { bytes } of run) {
          for (const { sequence } of decode(bytes)) sound.table.add(Number(sequence));
        }
        return outcome;
      };
      return sound;
    },
  },
  {
    name: 'transaction-torn',
    breaks: 'a position lies where a transaction ends',
    seeds: [3, 4],
    store: (sound) => {
      const apply = sound.apply.bind(sound);
      sound.apply = (lease, state, run) => {
        const last = run.at(-1);
        if (last === undefined || last.entry.count === 1) return apply(lease, state, run);
        const { entry, bytes } = last;
        const part = { entry: { ...entry, count: entry.count - 1 }, bytes };
        return apply(lease, state, [...run.slice(0, -1), part]);
      };
      return sound;
    },
  },
  {
    name: 'taken-back-in-part',
    breaks: 'a store that follows again holds nothing that the leader has not',
    seeds: [1, 3],
    reattach: (deps) => {
      const sound = deps.rewinder as Rewinder;
      return {
        ...deps,
        rewinder: {
          read: sound.read,
          rewind: (lease, changes, at) => sound.rewind(lease, changes.slice(1), at),
        },
      };
    },
  },
  {
    name: 'lag-since-the-last-look',
    breaks: 'the age of a lag counts from the newest change that has arrived, not from when somebody asked',
    seeds: [1, 3],
    lag: (sound) => ({
      control: sound.control,
      log: (region) => {
        const log = sound.log(region);
        return {
          ...log,
          head: async (lane) => ({ ...(await log.head(lane)), lastCommitMs: Number.MAX_SAFE_INTEGER }),
        };
      },
    }),
  },
  {
    name: 'plan-seals',
    breaks: 'a dry run changes nothing',
    seeds: [1, 2],
    survey: (sound, log) => ({
      ...sound,
      peers: {
        ...sound.peers,
        log: (region) => ({
          head: async (lane) => {
            const { sealedEpoch } = await log(region).head(lane);
            return (await log(region).seal(lane, (sealedEpoch + 1) as Epoch)).head;
          },
        }),
      },
    }),
  },
  {
    name: 'groups-share-an-item',
    breaks: 'no act of one group touches an item of another',
    seeds: [1, 3],
    acceptor: (sound, _, neighbour) => ({
      read: () => sound.read(),
      prepare: (ballot) => sound.prepare(ballot),
      accept: (...call) => sound.accept(...call),
      join: (...call) => sound.join(...call),
      beat: (sent) => sound.beat(sent),
      vote: (...call) => sound.vote(...call),
      // A key without the group's name.
      unvote: (...call) => neighbour.unvote(...call),
      draw: (drawn) => sound.draw(drawn),
    }),
  },
  {
    name: 'unlogged-writes-forgotten',
    breaks: 'what was acknowledged and is not in the log yet counts as lost, too',
    seeds: [1, 3],
    sentinel: (make, deps) => {
      const { acceptors } = deps;
      return make({
        ...deps,
        acceptors: {
          members: acceptors.members,
          of: (region) => {
            const at = acceptors.of(region);
            const beatLess = (sent: Beat) =>
              at.beat(sent.end === undefined ? sent : { ...sent, end: { ...sent.end, beyond: 0 } });
            return { ...at, beat: beatLess };
          },
        },
      });
    },
  },
  {
    name: 'lease-by-a-minority',
    breaks: 'a lease is lent by a majority',
    seeds: [1, 3],
    sentinel: (make, deps) => {
      const { acceptors, region } = deps;
      return make({
        ...deps,
        acceptors: {
          members: acceptors.members,
          // One Region's answer is taken for all.
          of: (at) => ({ ...acceptors.of(at), beat: (sent: Beat) => acceptors.of(region).beat(sent) }),
        },
      });
    },
  },
  {
    name: 'rest-forgotten',
    breaks:
      'a successor that is named while the rest of the log is on its way leads, and is followed, once it is there',
    seeds: [13, 18, 30],
    acceptor: acceptorBy({
      accept: (item, ballot, { leadsFrom: _, ...value }, ...more) => accept(item, ballot, value, ...more),
    }),
  },
  {
    name: 'superseded-goes-on',
    breaks: 'a coordinator whose epoch was taken over changes nothing',
    seeds: [83, 92, 168],
    steps: (sound) => ({
      promote: async (deps, state) => {
        const result = await sound.promote(deps, state);
        if (result.outcome !== 'superseded' || state.elect?.outcome !== 'elected') return result;
        const leader = state.elect.winner;
        const epoch = (state.input.epoch + 1) as Epoch;
        await deps.peers.control(leader).nameLeader({ epoch, leader });
        return { outcome: 'promoted', leader, epoch };
      },
    }),
  },
  {
    name: 'roles-go-back',
    breaks: 'a role is refused where a later epoch is known',
    seeds: [84, 123, 193],
    control: controlBy((sound) => {
      let role: Awaited<ReturnType<Control['role']>> | undefined;
      return {
        role: async () => role ?? sound.role(),
        nameLeader: async (next) => {
          await sound.nameLeader(next);
          role = { ...(await sound.role()), ...next };
          return 'named';
        },
      };
    }),
  },
  {
    name: 'attached-without-a-look',
    breaks: 'a Region follows only with a log that is a prefix of the leader’s',
    seeds: [1, 3],
    control: controlBy((sound) => ({
      role: async () => {
        const role = await sound.role();
        if (role.attached < role.epoch) await sound.attach(role.epoch);
        return sound.role();
      },
    })),
  },
  {
    name: 'vote-without-counter-check',
    breaks: 'a vote counts only while the counter is the one that was watched',
    seeds: [10, 16],
    acceptor: acceptorBy({ vote: (item, epoch) => vote(item, epoch, 'over') }),
  },
  {
    name: 'watch-from-before-the-first-look',
    breaks: 'a watch begins with its own first look',
    seeds: [2, 16],
    sentinel: (make, deps) => {
      let looks = 0;
      const early = () => (looks < 2 ? deps.profile.leaseMs + deps.profile.marginMs : 0);
      const sound = make({
        ...deps,
        clock: { now: () => deps.clock.now() - early(), steadyMs: () => deps.clock.steadyMs() - early() },
      });
      return {
        tick: () => {
          looks += 1;
          return sound.tick();
        },
        get leaseLeftMs() {
          return looks < 2 ? 0 : sound.leaseLeftMs;
        },
      };
    },
  },
  {
    name: 'watch-shorter-than-the-lease',
    breaks: 'a watch lasts longer than the lease by a margin, for clocks of different rates',
    seeds: [6, 4],
    sentinel: (make, deps) => {
      const { acceptors, profile, region } = deps;
      const sound = make(deps);
      const hasty = make({ ...deps, profile: { ...profile, leaseMs: 0.2 * profile.leaseMs } });
      return {
        tick: async () => {
          const { accepted } = await acceptors.of(region).read();
          return (accepted?.value.leader === region ? sound : hasty).tick();
        },
        get leaseLeftMs() {
          return sound.leaseLeftMs;
        },
      };
    },
  },
  {
    name: 'late-delete',
    breaks: 'a re-attachment whose lease was taken takes nothing back',
    seeds: [2, 4],
    store: (sound) => {
      const rewind = sound.rewind.bind(sound);
      sound.rewind = (lease, changes, at) => rewind(sound.newestLease ?? lease, changes, at);
      return sound;
    },
  },
  {
    name: 'granted-unheard',
    breaks: 'a leader grants only what a majority has heard of',
    seeds: [2, 28],
    sentinel: (make, deps) => {
      const { acceptors, region } = deps;
      const own = acceptors.of(region);
      const beatOwn = (sent: Beat) =>
        own.beat(sent.granted === undefined ? sent : { ...sent, granted: sent.granted + 10_000 });
      return make({
        ...deps,
        acceptors: {
          members: acceptors.members,
          of: (at) => (at === region ? { ...own, beat: beatOwn } : acceptors.of(at)),
        },
      });
    },
  },
  {
    name: 'drawn-beyond-the-grant',
    breaks: 'applications draw no more writes than the leader has granted',
    seeds: [2, 18],
    acceptor: acceptorBy({
      draw: (item, drawn) => {
        const answer = draw(item, drawn);
        if (answer.kind !== 'spent') return answer;
        return { kind: 'drawn', acceptor: { ...item, drawn: (item.drawn ?? 0) + drawn.count } };
      },
    }),
  },
];
