import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import { MADE_MS } from '#lib/domain/control/application-lease.ts';
import type { Epoch } from '#lib/domain/lsn.ts';

/** The least that the applications may draw between two beats, and how many times what they drew since the last. */
const LEAST = 256;
const GROWTH = 4;

/**
 * How many writes the applications of the leader's Region may draw from its lease: announced to the others by a beat, and
 * granted once a majority has heard it. So what a lost leader may have acknowledged has a bound that it can't pass. A
 * burst waits until the next beat grants it more, as the first packets of a TCP connection do.
 */
export class WriteCount {
  #epoch: Epoch | undefined;
  /** Of the last beat of this process that the own item has taken. */
  #counter: number | undefined;
  #drawn = 0;
  #drawnAtBeat = 0;
  #granted = 0;
  #announced = 0;
  /** What had been drawn at a time, Unix ms. */
  #history: { readonly atMs: number; readonly drawn: number }[] = [];

  /** What the own item says, at each look of the leader; `atMs`, Unix ms, is from after it was read. */
  look(own: Acceptor, epoch: Epoch, atMs: number): void {
    const { beat, drawn = 0 } = own;
    this.#drawn = drawn;
    const known = beat?.epoch === epoch ? beat.granted : undefined;
    if (this.#epoch !== epoch) {
      // An epoch that has granted nothing yet begins with this look; of what an earlier process has granted in it nobody
      // knows any more when it was drawn.
      this.#history = [{ atMs: known === undefined ? Number.NEGATIVE_INFINITY : atMs, drawn }];
    } else if (this.#history.at(-1)?.drawn !== drawn) this.#history.push({ atMs, drawn });
    if (this.#epoch === epoch && beat?.counter === this.#counter) return;
    // Another process has beaten: what this one had announced, the others may have forgotten.
    this.#epoch = epoch;
    this.#counter = beat?.counter;
    this.#drawnAtBeat = drawn;
    this.#granted = Math.max(known ?? 0, drawn);
    this.#announced = this.#granted;
  }

  /** What a majority has heard: the own item may say so. */
  get granted(): number {
    return this.#granted;
  }

  /** So much has been drawn that the next beat should not wait for its time. */
  get isLow(): boolean {
    return this.#granted - this.#drawn < LEAST / 2;
  }

  /** The own item has taken a beat, so that no earlier one can grant any more: decides what to announce to the others. */
  announce({ beat, drawn = 0 }: Acceptor): void {
    this.#counter = beat?.counter;
    const used = drawn - this.#drawnAtBeat;
    this.#drawnAtBeat = drawn;
    this.#announced = Math.max(this.#granted, drawn + Math.max(LEAST, GROWTH * used));
  }

  /**
   * The most writes that a log, whose newest record was committed at `commitMs`, does not hold and that may be
   * acknowledged before more is granted. Undefined if nobody knows how many were drawn by then.
   *
   * @param clocksMs how far the clocks of a Region may be apart.
   */
  beyond(commitMs: number, clocksMs: number): number | undefined {
    const madeMs = commitMs - MADE_MS - clocksMs;
    const later = this.#history.findIndex(({ atMs }) => atMs > madeMs);
    const index = later === -1 ? this.#history.length - 1 : later - 1;
    const known = this.#history[index];
    if (known === undefined) return undefined;
    this.#history.splice(0, index);
    return this.#announced - known.drawn;
  }

  /** A majority has heard what was announced. */
  grant(): void {
    this.#granted = this.#announced;
  }
}
