import type { Draft } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { checkedSegment } from '#lib/local/memory/memory-log.ts';
import type { Divergence, DivergenceReport, Divergences } from '#lib/ports/divergences.ts';

/** The divergences port in memory. */
export class MemoryDivergences implements Divergences {
  readonly #items = new Map<Epoch, Divergence>();
  readonly #objects = new Map<string, Uint8Array>();

  async put(hash: string, bytes: Uint8Array): Promise<void> {
    if (!this.#objects.has(hash)) this.#objects.set(hash, bytes);
  }

  async get(hash: string): Promise<Uint8Array> {
    return checkedSegment(hash, this.#objects.get(hash));
  }

  async collect(epoch: Epoch, { hash, maxCommitMs }: Pick<Draft, 'hash' | 'maxCommitMs'>): Promise<void> {
    const { collected, newestMs, ...rest } = this.#of(epoch);
    this.#items.set(epoch, {
      ...rest,
      collected: collected.includes(hash) ? collected : [...collected, hash],
      newestMs: Math.max(newestMs, maxCommitMs),
    });
  }

  async of(epoch: Epoch): Promise<Divergence | undefined> {
    return this.#items.get(epoch);
  }

  async save(epoch: Epoch, report: DivergenceReport): Promise<void> {
    this.#items.set(epoch, { ...this.#of(epoch), report });
  }

  async discard(
    epoch: Epoch,
    discarded: { readonly by: string; readonly reason: string; readonly atMs: number },
  ): Promise<void> {
    this.#items.set(epoch, { ...this.#of(epoch), discarded });
  }

  #of(epoch: Epoch): Divergence {
    return this.#items.get(epoch) ?? { epoch, collected: [], newestMs: 0 };
  }
}
