/** What a worker of the soak does: capture from the leader's slot, or apply to the follower. */
export type WorkerTask = {
  readonly role: 'capture' | 'apply';
  readonly leader: string;
  readonly follower: string;
  readonly slot: string;
  readonly streams: boolean;
  /** What its JavaScript may keep, MiB; as much as the machine allows if absent. */
  readonly heapMiB?: number;
};

/** A call of the log's that a worker makes, or of `failed`: role, code, stack, what to do next. */
export type Asked = { readonly id: number; readonly method: string; readonly args: readonly unknown[] };
export type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string };
