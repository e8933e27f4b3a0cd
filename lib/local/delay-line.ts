/** Time for what must wait; ms from any fixed moment. Injected so that tests need no real delays. */
export type Scheduler = {
  now(): number;
  /** Runs `task` after `ms`; returns what calls it off. */
  after(ms: number, task: () => void): () => void;
};

export const realTime: Scheduler = {
  now: () => performance.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
};

/** One direction of a link: a fixed travel time behind a transmitter that all its connections share. */
export class Wire {
  delayMs: number;
  /** 0: unlimited. */
  bytesPerSecond: number;
  #transmitterFreeAt = 0;

  constructor(delayMs: number, bytesPerSecond: number) {
    this.delayMs = delayMs;
    this.bytesPerSecond = bytesPerSecond;
  }

  /** When the last of `bytes` arrives that are handed in now. */
  arrival(bytes: number, now: number): number {
    if (this.bytesPerSecond === 0) return now + this.delayMs;
    const sendMs = (bytes / this.bytesPerSecond) * 1000;
    this.#transmitterFreeAt = Math.max(now, this.#transmitterFreeAt) + sendMs;
    return this.#transmitterFreeAt + this.delayMs;
  }
}

/** What the receiver says of a delivery: `wait` means that it took this one and none more until `resume`. */
export type Delivered = 'more' | 'wait';

/** One direction of a connection: what goes in comes out later, in order even if the delay is shortened. */
export class DelayLine<T> {
  readonly #wire: Wire;
  readonly #scheduler: Scheduler;
  readonly #deliver: (parcel: T) => Delivered;
  readonly #parcels: { readonly parcel: T; readonly bytes: number; readonly due: number }[] = [];
  #bytes = 0;
  #waiting = false;
  #cut = false;
  #callOff: (() => void) | undefined;

  constructor(wire: Wire, scheduler: Scheduler, deliver: (parcel: T) => Delivered) {
    this.#wire = wire;
    this.#scheduler = scheduler;
    this.#deliver = deliver;
  }

  /** Bytes on their way. */
  get bytes(): number {
    return this.#bytes;
  }

  push(parcel: T, bytes = 0): void {
    if (this.#cut) return;
    this.#parcels.push({ parcel, bytes, due: this.#wire.arrival(bytes, this.#scheduler.now()) });
    this.#bytes += bytes;
    this.#arm();
  }

  /** The receiver can take more. */
  resume(): void {
    this.#waiting = false;
    this.#arm();
  }

  /** Loses what is on its way and whatever is still to come. */
  cut(): void {
    this.#cut = true;
    this.#parcels.length = 0;
    this.#bytes = 0;
    this.#callOff?.();
    this.#callOff = undefined;
  }

  #arm(): void {
    const [first] = this.#parcels;
    if (first === undefined || this.#waiting || this.#callOff !== undefined) return;
    this.#callOff = this.#scheduler.after(Math.max(0, first.due - this.#scheduler.now()), () => {
      this.#callOff = undefined;
      this.#deliverDue();
    });
  }

  #deliverDue(): void {
    const now = this.#scheduler.now();
    while (!this.#waiting) {
      const [first] = this.#parcels;
      if (first === undefined || first.due > now) break;
      this.#parcels.shift();
      this.#bytes -= first.bytes;
      if (this.#deliver(first.parcel) === 'wait') this.#waiting = true;
    }
    this.#arm();
  }
}
