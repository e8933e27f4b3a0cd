import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import * as z from 'zod';
import { parsePolicy, type ResourcePolicy } from '#lib/local/policy/policy-rules.ts';

export type StoredPolicy = {
  readonly arn: string;
  readonly text: string;
  readonly revision: string;
  readonly policy: ResourcePolicy;
};

const fileSchema = z.record(z.string(), z.object({ arn: z.string(), text: z.string(), changes: z.number() }));

/** Policies of tables by name, in a file that is there whole however its process ends. */
export class PolicyStore {
  readonly #file: string;
  readonly #stored = new Map<string, StoredPolicy & { readonly changes: number }>();

  constructor(file: string) {
    this.#file = file;
    if (!existsSync(file)) return;
    for (const [table, { arn, text, changes }] of Object.entries(
      fileSchema.parse(JSON.parse(readFileSync(file, 'utf8'))),
    )) {
      this.#keep(table, arn, text, changes);
    }
  }

  get isEmpty(): boolean {
    return this.#stored.size === 0;
  }

  of(table: string): StoredPolicy | undefined {
    return this.#stored.get(table);
  }

  /** The same policy again keeps its revision. Throws what `parsePolicy` does. */
  put(table: string, arn: string, text: string): StoredPolicy {
    const before = this.#stored.get(table);
    if (before?.text === text) return before;
    const stored = this.#keep(table, arn, text, (before?.changes ?? 0) + 1);
    this.#save();
    return stored;
  }

  delete(table: string): void {
    this.#stored.delete(table);
    this.#save();
  }

  #keep(table: string, arn: string, text: string, changes: number): StoredPolicy {
    const revision = createHash('sha256').update(`${changes} ${text}`).digest('hex').slice(0, 32);
    const stored = { arn, text, revision, changes, policy: parsePolicy(text) };
    this.#stored.set(table, stored);
    return stored;
  }

  #save(): void {
    const all = [...this.#stored].map(([table, { arn, text, changes }]) => [table, { arn, text, changes }]);
    writeFileSync(`${this.#file}.new`, JSON.stringify(Object.fromEntries(all)));
    renameSync(`${this.#file}.new`, this.#file);
  }
}
