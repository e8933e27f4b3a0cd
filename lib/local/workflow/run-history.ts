import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { FailoverInput } from '#lib/domain/control/failover.ts';

/**
 * What happened to a run, and when (Unix ms).
 * - started, resumed: by whom it was asked for, or by a process that found it cut off.
 * - entered, left: a state; `step` and its `output` where the state calls the function.
 * - failed-try: a call failed. It is tried again, caught, or ends the run.
 * - succeeded, failed: the end; `state` is the last one.
 */
export type RunEvent = {
  readonly run: string;
  readonly atMs: number;
} & (
  | { readonly kind: 'started' | 'resumed'; readonly input: FailoverInput }
  | { readonly kind: 'entered'; readonly state: string; readonly step?: string }
  | { readonly kind: 'left'; readonly state: string; readonly step?: string; readonly output?: unknown }
  | { readonly kind: 'failed-try'; readonly state: string; readonly error: string; readonly cause: string }
  | { readonly kind: 'succeeded'; readonly state: string }
  | { readonly kind: 'failed'; readonly state: string; readonly error: string; readonly cause: string }
);

const SUFFIX = '.jsonl';

/** The runs of a Region: a file of JSON lines each, whose existence is what uses a name up. */
export class RunHistory {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** False if there is, or was, a run of that name. */
  begin(event: RunEvent & { readonly kind: 'started' }): boolean {
    const draft = `${this.#path(event.run)}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(event));
    try {
      // Atomic, and never over another: a file of this name has its first line, however this process ends.
      linkSync(draft, this.#path(event.run));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      unlinkSync(draft);
    }
  }

  append(event: RunEvent): void {
    // The line break comes first: it also ends a line that a crash has torn.
    appendFileSync(this.#path(event.run), `\n${JSON.stringify(event)}`);
  }

  runs(): readonly string[] {
    const files = readdirSync(this.#folder).filter((name) => name.endsWith(SUFFIX));
    return files.map((name) => decodeURIComponent(name.slice(0, -SUFFIX.length)));
  }

  of(run: string): readonly RunEvent[] {
    const lines = readFileSync(this.#path(run), 'utf8').split('\n');
    return lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as RunEvent];
      } catch {
        return [];
      }
    });
  }

  #path(run: string): string {
    return join(this.#folder, `${encodeURIComponent(run)}${SUFFIX}`);
  }
}
