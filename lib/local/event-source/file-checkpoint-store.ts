import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { CheckpointStore, Checkpoints } from '#lib/local/event-source/checkpoint-store.ts';

const checkpointsSchema = z.record(
  z.string(),
  z.object({ sequence: z.string().exactOptional(), finished: z.boolean() }),
);

type Writer = { latest: Checkpoints; running: Promise<void> | undefined; next: Promise<void> | undefined };

/**
 * One small JSON file per mapping, replaced as a whole. A file that is absent or torn (a power cut: nothing is
 * flushed) means to start over, which delivers again and loses nothing.
 */
export class FileCheckpointStore implements CheckpointStore {
  readonly #folder: string;
  readonly #writers = new Map<string, Writer>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async load(mapping: string): Promise<Checkpoints> {
    try {
      return checkpointsSchema.parse(JSON.parse(await readFile(this.#path(mapping), 'utf8')));
    } catch (error) {
      const torn = error instanceof SyntaxError || error instanceof z.ZodError;
      if (torn || (error as NodeJS.ErrnoException).code === 'ENOENT') return {};
      throw error;
    }
  }

  /** Saves that come while one is being written share the next write. */
  save(mapping: string, checkpoints: Checkpoints): Promise<void> {
    const writer = this.#writers.get(mapping) ?? { latest: checkpoints, running: undefined, next: undefined };
    this.#writers.set(mapping, writer);
    writer.latest = checkpoints;
    if (writer.next !== undefined) return writer.next;
    const previous = writer.running;
    const write = async () => {
      await previous?.catch(() => {});
      writer.running = writer.next;
      writer.next = undefined;
      await this.#write(mapping, writer.latest);
    };
    writer.next = write();
    return writer.next;
  }

  async #write(mapping: string, checkpoints: Checkpoints): Promise<void> {
    const path = this.#path(mapping);
    await mkdir(this.#folder, { recursive: true });
    await writeFile(`${path}.tmp`, JSON.stringify(checkpoints));
    await rename(`${path}.tmp`, path);
  }

  #path(mapping: string): string {
    return join(this.#folder, `${encodeURIComponent(mapping)}.json`);
  }
}
