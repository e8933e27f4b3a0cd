import { isFailure } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { GroupConfig, GuardMode, Leadership, PostgresEngineConfig, Role } from '#lib/domain/topology.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { guard } from '#lib/engines/postgres/lease-guard.ts';
import { PolledSlot } from '#lib/engines/postgres/polled-slot.ts';
import { PostgresCapture } from '#lib/engines/postgres/postgres-capture.ts';
import { PostgresDigest } from '#lib/engines/postgres/postgres-digest.ts';
import { PostgresFence } from '#lib/engines/postgres/postgres-fence.ts';
import { openPair } from '#lib/engines/postgres/postgres-pair.ts';
import { PostgresReplica } from '#lib/engines/postgres/postgres-replica.ts';
import { PostgresRewinder } from '#lib/engines/postgres/postgres-rewinder.ts';
import { advanceSequences } from '#lib/engines/postgres/sequences.ts';
import { slotShard } from '#lib/engines/postgres/slot-session.ts';
import { lookForStrays } from '#lib/engines/postgres/stray-tables.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { beat, checkSlot } from '#lib/engines/postgres/write-path.ts';
import type { ChangeStream } from '#lib/ports/change-stream.ts';
import type { DigestSource, PairedDigests, Stray } from '#lib/ports/digest-source.ts';
import type { Changes, Engine } from '#lib/ports/engine.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { EngineFence, StoreLease } from '#lib/ports/sentinel-ports.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

const FIRST = parseEpoch(1);

/** PostgreSQL databases. */
export class PostgresEngine implements Engine {
  readonly changes: Changes;
  readonly #group: GroupConfig<PostgresEngineConfig>;
  readonly #connectTo: (at: RegionId) => Connect;
  readonly #telemetry: Telemetry;
  /** Each keeps its session, and in it a transaction of the leader's that has no end yet. */
  readonly #replicas = new Map<string, PostgresReplica>();
  readonly #guard: GuardMode;
  /** Whose databases are known to guard themselves. */
  readonly #guarded = new Set<RegionId>();

  constructor(
    group: GroupConfig<PostgresEngineConfig>,
    deps: { readonly connectTo: (at: RegionId) => Connect; readonly telemetry: Telemetry },
  ) {
    this.#group = group;
    this.#connectTo = deps.connectTo;
    this.#guard = group.engine.guard ?? 'on';
    this.#telemetry = deps.telemetry;
    this.changes = {
      kind: 'fetched',
      engine: new PostgresCapture(group.group),
      source: (at: RegionId, { epoch, leader, led }: Role) => {
        const { publication, slot } = group.engine;
        const given = { region: at, epoch, connect: deps.connectTo(at), publication, slot };
        const follows = leader !== at && led === undefined;
        const source = { ...given, telemetry: deps.telemetry, follows };
        // Whoever follows has nothing to say: what is in its slot is looked through, so that the server may forget it.
        return leader === at ? new StreamedSlot(source) : new PolledSlot(source);
      },
    };
  }

  replica(at: RegionId, leader: RegionId): PostgresReplica {
    const name = `${at} ${leader}`;
    const known = this.#replicas.get(name);
    if (known !== undefined) return known;
    const replica = new PostgresReplica({
      connect: this.#connectTo(at),
      leader: this.#connectTo(leader),
      publication: this.#group.engine.publication,
      origin: originOf(this.#group),
    });
    this.#replicas.set(name, replica);
    return replica;
  }

  rewinder(at: RegionId, leader: RegionId): PostgresRewinder {
    const { engine } = this.#group;
    return new PostgresRewinder({
      connect: this.#connectTo(at),
      leader: this.#connectTo(leader),
      publication: engine.publication,
      slot: engine.slot,
      origin: originOf(this.#group),
      shard: slotShard(at, engine),
      leaderShard: slotShard(leader, engine),
      telemetry: this.#telemetry,
    });
  }

  fence(at: RegionId): EngineFence {
    return new PostgresFence(this.#connectTo(at), this.#group.engine.applicationRoles ?? []);
  }

  stream(at: RegionId): ChangeStream {
    // A slot delivers in the order of commit: one shard, and one heartbeat proves all of it.
    return {
      newestShards: async () => [slotShard(at, this.#group.engine)],
      beat: async (_count, atMs) => {
        await this.beat(at, atMs);
      },
      maxBeats: 1,
    };
  }

  digest(at: RegionId): DigestSource {
    return new PostgresDigest(this.#connectTo(at));
  }

  pair(
    { leader, epoch }: Leadership,
    at: RegionId,
    log: (at: RegionId) => ReplicaLog,
  ): Promise<PairedDigests> {
    return openPair({
      leader: this.#connectTo(leader),
      follower: this.#connectTo(at),
      publication: this.#group.engine.publication,
      shard: slotShard(leader, this.#group.engine),
      epoch,
      leaderLog: log(leader),
      followerLog: log(at),
    });
  }

  strays({ leader, epoch }: Leadership, at: RegionId): Promise<readonly Stray[]> {
    const { publication } = this.#group.engine;
    const [from, to] = [this.#connectTo(leader), this.#connectTo(at)];
    return lookForStrays({ leader: from, follower: to, publication }, epoch);
  }

  async beat(at: RegionId, atMs: number, lease?: StoreLease): Promise<number | undefined> {
    if (lease === undefined || this.#guard === 'off') {
      const now = await beat(this.#connectTo(at), atMs);
      return this.#guard === 'off' ? undefined : now;
    }
    // A database that could get no guard takes its heartbeats all the same.
    const isGuarded = this.#guarded.has(at) || (await this.#keepGuard(at));
    try {
      return await beat(this.#connectTo(at), atMs, isGuarded ? lease : undefined);
    } catch (error) {
      this.#guarded.delete(at);
      throw error;
    }
  }

  /** Has the database of a Region guard itself as the group wants it, on new tables, too. False if it can't. */
  async #keepGuard(at: RegionId): Promise<boolean> {
    try {
      const unguarded = await guard(this.#connectTo(at), this.#guard);
      for (const { table, why } of unguarded) this.#telemetry.event('table-unguarded', { table, why });
      this.#guarded.add(at);
      return true;
    } catch (error) {
      this.#telemetry.event('guard-missing', { guard: this.#guard, why: String(error) });
      return false;
    }
  }

  async makeReady(at: RegionId, epoch: Epoch): Promise<void> {
    // The first leader's sequences are its own.
    if (epoch === FIRST) return;
    await this.#keepGuard(at);
    const sequences = await advanceSequences(this.#connectTo(at), epoch);
    if (sequences > 0) this.#telemetry.event('sequences-advanced', { epoch, sequences });
  }

  async checkFitness(at: RegionId): Promise<void> {
    try {
      const { retainedBytes } = await checkSlot(this.#connectTo(at), this.#group.engine);
      // From here, too: what nobody reads grows, and then there is nobody else to tell.
      this.#telemetry.metrics({ SlotRetainedBytes: retainedBytes });
    } catch (error) {
      if (isFailure(error, 'SLOT_LOST'))
        this.#telemetry.event('SLOT_LOST', { slot: this.#group.engine.slot });
      throw error;
    }
    // Whoever leads next is guarded before that.
    await this.#keepGuard(at);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#replicas.values()].map((replica) => replica.close()));
  }
}

/** Name under which each database of a group knows what was applied to it. */
export function originOf({ group }: Pick<GroupConfig, 'group'>): string {
  return `understudy_${group}`;
}
