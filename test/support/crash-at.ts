/** The failure of a process that was ended at one of its awaits. */
export class Crash extends Error {}

/** Ends a process at the n-th of its awaits: before or after the effect of a call, in turn. From then on it does nothing. */
export class CrashAt {
  #left: number;

  constructor(await_: number) {
    this.#left = await_;
  }

  /** True if the process came to its end before the n-th await. */
  get survived(): boolean {
    return this.#left >= 0;
  }

  /** `target` as the process sees it. */
  watched<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...parameters: unknown[]) => {
          if (!this.#goesOn()) return Promise.reject(new Crash());
          const result: unknown = member.apply(target, parameters);
          if (!(result instanceof Promise)) return result;
          return result.then((value: unknown) => {
            if (!this.#goesOn()) throw new Crash();
            return value;
          });
        };
      },
    });
  }

  #goesOn(): boolean {
    if (this.#left >= 0) this.#left -= 1;
    return this.#left >= 0;
  }
}
