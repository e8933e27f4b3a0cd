import fc from 'fast-check';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { AppendOutcome, Entry, Head, KeepOutcome, SealOutcome } from '#lib/domain/log.ts';
import { type Epoch, LSN_ZERO, parseEpoch } from '#lib/domain/lsn.ts';
import type { LogKeeper } from '#lib/ports/log-keeper.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { draft, placeAll } from './log-history.ts';

/** What several writers, each with its own idea of the head, and an operator do to one log. */
export type Operation =
  /** A writer learns where the log ends. */
  | { readonly kind: 'look'; readonly writer: number }
  /** It appends `size` segments to the head that it knows, in the name of its epoch. */
  | { readonly kind: 'append'; readonly writer: number; readonly size: number; readonly learns: boolean }
  /** It has had no answer and sends its last append again, as it was. */
  | { readonly kind: 'retry'; readonly writer: number }
  /** It is made leader of a later epoch. */
  | { readonly kind: 'promote'; readonly writer: number; readonly by: number }
  | { readonly kind: 'seal'; readonly epoch: number }
  /** Everything before the n-th entry that is there is unlinked and deleted, in the name of an epoch. */
  | { readonly kind: 'trim'; readonly keep: number; readonly epoch: number }
  /** A new generation of segments begins. */
  | { readonly kind: 'generation'; readonly epoch: number };

const WRITERS = 3;
const writer = fc.nat(WRITERS - 1);

export const anyOperations = (maxLength: number): fc.Arbitrary<readonly Operation[]> =>
  fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('look' as const), writer }) },
      {
        weight: 8,
        arbitrary: fc.record({
          kind: fc.constant('append' as const),
          writer,
          size: fc.integer({ min: 1, max: 3 }),
          learns: fc.boolean(),
        }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('retry' as const), writer }) },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('promote' as const),
          writer,
          by: fc.integer({ min: 1, max: 3 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('seal' as const), epoch: fc.nat(8) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('trim' as const), keep: fc.nat(4), epoch: fc.nat(8) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('generation' as const), epoch: fc.nat(8) }) },
    ),
    { minLength: 1, maxLength },
  );

/** One operation with what came of it. */
export type Step = {
  readonly operation: Operation;
  readonly before: Head;
  readonly after: Head;
  readonly sent?: {
    readonly expected: Head;
    readonly entries: readonly Entry[];
    readonly authority: Epoch;
    readonly again: boolean;
  };
  readonly outcome?: AppendOutcome | SealOutcome | KeepOutcome;
};

/** Runs operations against a log, one after the other. What is sent depends on earlier outcomes alone. */
export async function perform(
  log: ReplicaLog,
  keeper: LogKeeper,
  operations: readonly Operation[],
): Promise<readonly Step[]> {
  const start = await log.head(LANE_0);
  const writers = Array.from({ length: WRITERS }, (_, index) => ({
    epoch: parseEpoch(index + 1),
    knows: start,
    sent: undefined as { expected: Head; entries: readonly Entry[]; authority: Epoch } | undefined,
  }));
  const steps: Step[] = [];
  for (const [at, operation] of operations.entries()) {
    const before = await log.head(LANE_0);
    const step = await performOne(operation, at);
    steps.push({ operation, before, after: await log.head(LANE_0), ...step });
  }
  return steps;

  async function performOne(operation: Operation, at: number): Promise<Partial<Step>> {
    switch (operation.kind) {
      case 'look':
        writers[operation.writer]!.knows = await log.head(LANE_0);
        return {};
      case 'promote':
        writers[operation.writer]!.epoch = parseEpoch(writers[operation.writer]!.epoch + operation.by);
        return {};
      case 'append': {
        const by = writers[operation.writer]!;
        const drafts = Array.from({ length: operation.size }, (_, index) =>
          draft(`${at}-${index}`, { at: at * 10 + index, count: 1 + ((at + index) % 4) }),
        );
        by.sent = { expected: by.knows, entries: placeAll(by.knows, drafts, by.epoch), authority: by.epoch };
        const outcome = await log.append(LANE_0, by.sent.expected, by.sent.entries, by.sent.authority);
        if (operation.learns) by.knows = outcome.head;
        return { outcome, sent: { ...by.sent, again: false } };
      }
      case 'retry': {
        const { sent } = writers[operation.writer]!;
        if (sent === undefined) return {};
        const outcome = await log.append(LANE_0, sent.expected, sent.entries, sent.authority);
        return { outcome, sent: { ...sent, again: true } };
      }
      case 'seal':
        return { outcome: await log.seal(LANE_0, parseEpoch(operation.epoch)) };
      case 'trim': {
        const kept = (await log.entries(LANE_0, LSN_ZERO, 1_000))[operation.keep];
        if (kept === undefined) return {};
        const epoch = parseEpoch(operation.epoch);
        const outcome = await keeper.unlink(LANE_0, await log.head(LANE_0), kept, epoch, at + 1);
        for (;;) {
          const dropped = await keeper.dropEntries(LANE_0, outcome.head.firstLsn, epoch);
          if (dropped.kind !== 'dropped' || dropped.count === 0) return { outcome };
        }
      }
      case 'generation':
        return { outcome: await keeper.nextGeneration(LANE_0, parseEpoch(operation.epoch)) };
    }
  }
}
