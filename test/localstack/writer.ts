import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteItemCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { LeaderClient } from '#lib/client/leader-client.ts';
import { LeaderLease } from '#lib/client/leader-lease.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { readRecord } from './dns-record.ts';
import type { Group } from './group.ts';

/** Between two writes, ms. */
const PAUSE_MS = 100;
const KEYS = 40;

/** What the application was told of a key. */
type Told = {
  /** The newest value that was acknowledged; null for a delete. */
  acknowledged: string | null;
  /** Values that were sent after it and never answered: one of them may be there instead. */
  readonly doubtful: Set<string | null>;
};

/**
 * An application that writes where the group leads, by the project's own client: it finds the leader in Route 53 and
 * writes while the leader's lease lasts. It remembers what it was told.
 */
export class Writer {
  readonly told = new Map<string, Told>();
  /** Times of acknowledgement, Unix ms, and where; in order. */
  readonly acknowledged: { readonly atMs: number; readonly target: string }[] = [];
  readonly #group: Group;
  readonly #client: LeaderClient<{ readonly region: string; readonly dynamodb: DynamoDBClient }>;
  #known: string | undefined;
  #stopped = false;
  #running: Promise<void> | undefined;
  #failure: unknown;

  constructor(group: Group) {
    this.#group = group;
    const clock = { now: () => Date.now(), steadyMs: () => performance.now() };
    this.#client = new LeaderClient({
      finder: {
        // The emulator answers no DNS: what DNS would say is what the record says.
        find: async () => {
          this.#known ??= (await readRecord(group))?.target;
          if (this.#known === undefined) throw new Error('the group has no record yet');
          return { target: this.#known };
        },
        forget: () => {
          this.#known = undefined;
        },
      },
      open: (target) => {
        const region = parseRegionId(target.split('.')[0]!);
        const requestHandler = { requestTimeout: 2_000, throwOnRequestTimeout: true };
        const dynamodb = new DynamoDBClient({ region, maxAttempts: 1, requestHandler });
        const acceptor = new AwsAcceptor({
          dynamodb,
          group: parseGroupId(group.id),
          table: group.controlTable,
        });
        return {
          handle: { region, dynamodb },
          lease: new LeaderLease({ region, acceptor, clock, sleep: (ms) => sleep(ms) }),
        };
      },
      now: clock.now,
      sleep: (ms) => sleep(ms),
      // Above what an emulator takes that ends a sentinel as it updates it: the next one comes within a minute.
      deadlineMs: 180_000,
    });
  }

  start(): void {
    this.#stopped = false;
    this.#running = this.#write().catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Ends with the write under way. Throws if one was given up meanwhile. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #write(): Promise<void> {
    for (let n = this.acknowledged.length; !this.#stopped; n++) {
      const sk = `order-${n % KEYS}`;
      await this.put(sk, n % 11 === 10 ? null : `value ${n} ${this.#group.secret}`);
      await sleep(PAUSE_MS);
    }
  }

  /** Writes one value, or deletes for null. */
  async put(sk: string, value: string | null): Promise<void> {
    const key = { pk: { S: this.#group.partition('writer') }, sk: { S: sk } };
    const told = this.told.get(sk) ?? { acknowledged: null, doubtful: new Set() };
    this.told.set(sk, told);
    told.doubtful.add(value);
    const command =
      value === null
        ? new DeleteItemCommand({ TableName: this.#group.table, Key: key })
        : new PutItemCommand({ TableName: this.#group.table, Item: { ...key, value: { S: value } } });
    const region = await this.#client.write(
      async ({ dynamodb, region }, abortSignal) => {
        await dynamodb.send(command as PutItemCommand, { abortSignal });
        return region;
      },
      { idempotent: true },
    );
    told.acknowledged = value;
    told.doubtful.clear();
    this.acknowledged.push({ atMs: Date.now(), target: region });
  }
}
