import { setTimeout as sleep } from 'node:timers/promises';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { until } from '../local/until.ts';
import { Random } from '../sim/random.ts';
import { GROUP } from '../support/log-history.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { runTransaction, WORKLOAD_SCHEMA } from '../support/postgres-workload.ts';
import { BANK_SCHEMA, BankReader, DEPOSITS, transferMoney } from './bank.ts';
import { KeptConnection } from './kept-connection.ts';
import { type Failure, Operator } from './operator.ts';
import { RandomTables } from './random-tables.ts';
import { ReplicatedPair, type Urls } from './replicated-pair.ts';
import { SoakWorker } from './soak-worker.ts';

export type SoakOptions = {
  readonly rounds: number;
  /** Of schema and work. */
  readonly seed: number;
  /** Seed of who is killed, and when. */
  readonly kills: number;
  /** Kills a round; 0.25 if absent. */
  readonly killRate?: number;
  /** Told after each round. */
  readonly onRound?: (round: number, so: SoakResult) => void;
};
const VICTIMS = ['leader', 'follower', 'capture', 'apply'] as const;
export type Victim = (typeof VICTIMS)[number];
export type SoakResult = {
  /** Transactions at the leader that were answered. */
  readonly transactions: number;
  /** Changes of schema at the leader, and how often the follower was told what to run, and it was run. */
  readonly altered: number;
  readonly told: number;
  /** Sums of all the money that readers of the follower took. */
  readonly looks: number;
  readonly killed: Readonly<Record<Victim, number>>;
};

const SLOT = 'soak';
/** What a worker asks of the log right when something is made durable, or right before. */
const MOMENTS = { capture: 'append', apply: 'getSegment' } as const;
const MOMENT_MS = 500;
type Role = keyof typeof MOMENTS;
const CONVERGES_MS = 60_000;
/** A change of schema names itself here, in its transaction, so that one whose answer is lost is not made twice. */
const NOTES_SCHEMA = 'CREATE TABLE altered (round int CONSTRAINT altered_once PRIMARY KEY)';
/**
 * Rounds of random transactions and changes of schema at a leader, under SIGKILL of its server, of the follower's, of
 * the process that captures, and of the one that applies, each at a random moment. Throws unless after each round every
 * table of the follower is that of the leader, in rows and in columns, and unless readers of the follower find all the
 * money there at every moment. The seeds give schema, work and kills, but not how far others are by then.
 */
export async function soakPostgres(options: SoakOptions): Promise<SoakResult> {
  const { rounds, seed, onRound } = options;
  const [leader, follower] = await Promise.all([startTestPostgres(), startTestPostgres()]);
  let soak: Soak | undefined;
  try {
    soak = await Soak.start({ leader, follower }, options);
    for (let round = 1; round <= rounds; round += 1) {
      try {
        await soak.round(round);
      } catch (error) {
        throw new Error(`round ${round} of seed ${seed}: ${String(error)}`, { cause: error });
      }
      onRound?.(round, soak.result);
    }
    return soak.result;
  } finally {
    await soak?.stop();
    await Promise.all([leader[Symbol.asyncDispose](), follower[Symbol.asyncDispose]()]);
  }
}

type Servers = Readonly<Record<'leader' | 'follower', TestPostgres>>;

class Soak {
  readonly #servers: Servers;
  readonly #urls: Urls;
  readonly #seed: number;
  readonly #kills: Random;
  readonly #killRate: number;
  readonly #tables: RandomTables;
  readonly #log = new MemoryLog(GROUP);
  readonly #at: Readonly<Record<'work' | 'bank' | 'operator', KeptConnection>>;
  readonly #pair: ReplicatedPair;
  readonly #operator: Operator;
  readonly #workers: Readonly<Record<Role, SoakWorker>>;
  readonly #killed: Record<Victim, number> = { leader: 0, follower: 0, capture: 0, apply: 0 };
  #doomed: Victim[] = [];
  #awaited: { readonly role: Role; readonly isBefore: boolean; readonly come: () => void } | undefined;
  #killing: Promise<void> = Promise.resolve();
  #readers: readonly BankReader[] = [];
  #transactions = 0;
  #altered = 0;
  #lastChange = '';

  private constructor(servers: Servers, urls: Urls, tables: RandomTables, options: SoakOptions) {
    this.#servers = servers;
    this.#urls = urls;
    this.#tables = tables;
    this.#seed = options.seed;
    this.#kills = new Random(options.kills);
    this.#killRate = options.killRate ?? 0.25;
    this.#at = {
      work: new KeptConnection(urls.leader),
      bank: new KeptConnection(urls.leader),
      operator: new KeptConnection(urls.follower),
    };
    this.#pair = new ReplicatedPair(urls, this.#log);
    this.#operator = new Operator(this.#at.operator);
    const worker = (role: Role) => {
      const task = { role, ...urls, slot: SLOT, streams: this.#kills.chance(0.5) };
      return new SoakWorker(task, (method, args) => this.#answer(role, method, args));
    };
    this.#workers = { capture: worker('capture'), apply: worker('apply') };
  }

  static async start(servers: Servers, options: SoakOptions): Promise<Soak> {
    const tables = new RandomTables(new Random(options.seed));
    const urls = {
      leader: await servers.leader.createDatabase(),
      follower: await servers.follower.createDatabase(),
    };
    const schema = [WORKLOAD_SCHEMA, BANK_SCHEMA, NOTES_SCHEMA, tables.schema].join(';\n');
    const [leader, follower] = [new KeptConnection(urls.leader), new KeptConnection(urls.follower)];
    await leader.with(async (client) => {
      await client.query(schema);
      await client.query(DEPOSITS);
      await prepareLeader(client, 'understudy', SLOT);
    });
    await follower.with(async (client) => {
      await client.query(schema);
      await prepareFollower(client, 'soak');
    });
    await Promise.all([leader.end(), follower.end()]);
    return new Soak(servers, urls, tables, options);
  }

  get result(): SoakResult {
    return {
      transactions: this.#transactions,
      altered: this.#altered,
      told: this.#operator.told,
      looks: this.#readers.reduce((sum, { looks }) => sum + looks, 0),
      killed: { ...this.#killed },
    };
  }

  async stop(): Promise<void> {
    await this.#killing.catch(() => {});
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    await Promise.all(Object.values(this.#workers).map((worker) => worker.stop()));
    await Promise.all(Object.values(this.#at).map((connection) => connection.end()));
    await this.#pair.end();
  }

  async round(round: number): Promise<void> {
    this.#kill();
    // Each by itself: what is drawn of one depends on how far it came.
    const [work, transfers, changes] = [1, 2, 3].map(
      (part) => new Random(this.#seed * 1e6 + round * 3 + part),
    );
    this.#tables.begin(work!);
    await Promise.all([this.#work(work!), this.#transfer(transfers!)]);
    this.#tables.begin(changes!);
    // The first round copies, and a copy wants tables of one schema.
    if (round > 1 && changes!.chance(0.4)) await this.#alter(round, this.#tables.alter());
    this.#kill();
    await this.#converge();
    await this.#killing;
    await this.#converge();
    await this.#pair.compare();
    if (round > 1) return;
    // While tables are copied, they stand at different moments.
    const missing = (what: string) => this.#operator.found(what);
    this.#readers = [1, 2].map(() => new BankReader(new KeptConnection(this.#urls.follower), missing));
  }

  async #work(work: Random): Promise<void> {
    await this.#at.work
      .with(async (client) => {
        for (let left = 1 + work.below(6); left > 0; left -= 1) {
          if (work.chance(0.5)) await runTransaction(client, () => work.next());
          else await this.#tables.transaction(client);
          this.#transactions += 1;
        }
      })
      .catch(() => {});
  }

  async #transfer(random: Random): Promise<void> {
    await this.#at.bank
      .with(async (client) => {
        for (let left = 1 + random.below(4); left > 0; left -= 1) {
          await transferMoney(client, random);
          this.#transactions += 1;
        }
      })
      .catch(() => {});
  }

  /** A change whose answer is lost is tried again, and made once. */
  async #alter(round: number, statements: readonly string[]): Promise<void> {
    await this.#surely(`BEGIN; INSERT INTO altered VALUES (${round}); ${statements.join('; ')}; COMMIT`);
    if (this.#tables.more !== undefined) await this.#surely(this.#tables.more);
    this.#altered += 1;
    this.#lastChange = `round ${round}: ${statements.join('; ')}`;
  }

  async #surely(sql: string): Promise<void> {
    const isDone = () =>
      this.#at.work
        .with((client) => client.query(sql))
        .then(
          () => true,
          (error) => {
            if ((error as { constraint?: string }).constraint === 'altered_once') return true;
            if (/^(?!57P|08)\w{5}$/.test(sqlState(error) ?? '')) throw new Error(`${sql}: ${String(error)}`);
            return false;
          },
        );
    await until('the leader has another schema', isDone, CONVERGES_MS);
  }

  /** Perhaps kills something, a moment after the last that was killed is up again. */
  #kill(): void {
    this.#killing = this.#killing.then(() => this.#killSomething());
    // Who waits for it is told.
    this.#killing.catch(() => {});
  }

  /** All are killed equally often, in an order that is drawn. */
  async #killSomething(): Promise<void> {
    const kills = this.#kills;
    const [isDue, isTimed, isBefore, streams] = [this.#killRate / 2, 0.5, 0.5, 0.5].map((p) =>
      kills.chance(p),
    );
    const when = kills.next();
    if (!isDue) return;
    if (this.#doomed.length === 0) this.#doomed = [...VICTIMS];
    const [victim] = this.#doomed.splice(kills.below(this.#doomed.length), 1) as [Victim];
    if (isTimed && victim !== 'leader') {
      await this.#moment(victim === 'capture' ? 'capture' : 'apply', isBefore!);
      await sleep(when * 10);
    } else await sleep(when * 150);
    this.#killed[victim] += 1;
    if (victim === 'leader' || victim === 'follower') await this.#servers[victim].crash();
    else await this.#workers[victim].crash(streams!);
  }

  /** Waits for the moment that matters most to a worker; who captures ends in it, before it is done or before it hears of it. */
  async #moment(role: Role, isBefore: boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaited = { role, isBefore, come: resolve };
    await Promise.race([promise, sleep(MOMENT_MS)]);
    this.#awaited = undefined;
  }

  async #converge(): Promise<void> {
    const check = () => {
      if (this.#operator.defect !== undefined) throw new Error(this.#operator.defect);
    };
    const told = () =>
      `the last change of schema: ${this.#lastChange}\nwhat the operator ran last: ${this.#operator.ran}\n` +
      `the last failure: ${this.#operator.last}`;
    await this.#pair.converge(check, told, CONVERGES_MS);
  }

  async #answer(role: Role, method: string, args: readonly unknown[]): Promise<unknown> {
    if (method === 'failed') return this.#operator.hear(args as unknown as Failure);
    const awaited = this.#awaited?.role === role && method === MOMENTS[role] ? this.#awaited : undefined;
    const dies = awaited !== undefined && role === 'capture';
    if (dies && awaited.isBefore) await this.#workers[role].stop();
    const call = this.#log[method as keyof MemoryLog] as (...given: unknown[]) => Promise<unknown>;
    const answer = dies && awaited.isBefore ? undefined : await call.apply(this.#log, [...args]);
    if (dies) await this.#workers[role].stop();
    awaited?.come();
    return answer;
  }
}
