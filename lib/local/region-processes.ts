import type { RegionId } from '#lib/domain/ids.ts';
import { KeptProcess } from '#lib/local/kept-process.ts';
import type { Supervised } from '#lib/local/supervised.ts';

/**
 * The processes of a Region that data goes through; each Region has a CloudWatch, for failover an application and a
 * policy gate before its DynamoDB server, and a PostgreSQL server where that is what is replicated.
 */
export const PARTS = ['dynamodb', 's3', 'worker'] as const;
export type Part = (typeof PARTS)[number] | 'cloudwatch' | 'application' | 'gate' | 'postgres';

/** What a worker or a server of the cloud reports. */
export type CloudMessage = { readonly region: RegionId; readonly message: unknown };

/** Starts a process of a Region and keeps it running. */
export type Run = <T extends Supervised>(
  region: RegionId,
  part: Part,
  start: (signal: AbortSignal) => Promise<T>,
) => Promise<T>;

/** The processes of all Regions, each kept running until it is halted. */
export class RegionProcesses {
  readonly #processes = new Map<string, KeptProcess>();
  readonly #onMessage: (message: CloudMessage) => void;
  #isHalted = false;

  constructor(onMessage: (message: CloudMessage) => void) {
    this.#onMessage = onMessage;
  }

  /** Throws once all are halted. */
  readonly run: Run = async (region, part, start) => {
    if (this.#isHalted) throw new Error('the cloud is being stopped');
    const process = new KeptProcess(start, (error) => {
      this.#onMessage({ region, message: { kind: 'restart-failed', why: String(error) } });
    });
    this.#processes.set(`${region} ${part}`, process);
    return process.run();
  };

  /** Throws if the cloud has no such process. */
  of(region: RegionId, part: Part): KeptProcess {
    const process = this.#processes.get(`${region} ${part}`);
    if (process === undefined) throw new Error(`the cloud has no ${part} of ${region}`);
    return process;
  }

  /** In the order in which they were started first. */
  allOf(region: RegionId): readonly KeptProcess[] {
    return [...this.#processes].flatMap(([name, part]) => (name.startsWith(`${region} `) ? [part] : []));
  }

  /** Ends all for good. */
  async halt(): Promise<void> {
    this.#isHalted = true;
    await Promise.all([...this.#processes.values()].map((process) => process.halt()));
  }
}
