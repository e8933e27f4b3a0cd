/**
 * How far a source shard has been captured. The sequence number is a decimal string of up to 40 digits that
 * grows within a shard (and from a parent to its children); `atMs` is the commit time of that record. `beatMs` is the
 * time of the newest heartbeat that came in the shard: all that was written before it to this shard is captured.
 */
export type Mark = { readonly sequence: string; readonly atMs: number; readonly beatMs?: number };

/** One mark per shard. They live in the log's head, so that what is captured and what is logged is one fact. */
export type Marks = Readonly<Record<string, Mark>>;

/** DynamoDB keeps stream records 24 h; a shard that has been silent for twice that can't deliver again. */
export const MARK_LIFE_MS = 48 * 3_600_000;

/** A shard that has brought nothing for so long is closed, or idle. */
const LIVE_MS = 300_000;

/** Orders two sequence numbers: negative, zero or positive. */
export function compareSequence(a: string, b: string): number {
  const left = a.replace(/^0+(?=\d)/, '');
  const right = b.replace(/^0+(?=\d)/, '');
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** True if the record at `sequence` of `shard` is in the log already. */
export function isCaptured(marks: Marks, shard: string, sequence: string): boolean {
  const mark = marks[shard];
  return mark !== undefined && compareSequence(sequence, mark.sequence) <= 0;
}

/** A mark that has moved on since a heartbeat. */
function withBeat(mark: Mark, before: Mark | undefined): Mark {
  if (before?.beatMs === undefined) return mark;
  return { ...mark, beatMs: Math.max(before.beatMs, mark.beatMs ?? 0) };
}

/** The marks after `moved`: never back, and without shards that can't deliver any more. */
export function mergeMarks(marks: Marks, moved: Marks): Marks {
  const merged: Record<string, Mark> = { ...marks };
  let newest = 0;
  for (const [shard, mark] of Object.entries(moved)) {
    if (!isCaptured(marks, shard, mark.sequence)) merged[shard] = withBeat(mark, marks[shard]);
    newest = Math.max(newest, mark.atMs);
  }
  for (const [shard, mark] of Object.entries(merged)) {
    if (mark.atMs < newest - MARK_LIFE_MS) delete merged[shard];
  }
  return merged;
}

/** The shards of a Region's stream that have shown a heartbeat of `sinceMs` or later, Unix ms. */
export function beatenShards(marks: Marks, region: string, sinceMs: number): ReadonlySet<string> {
  const own = Object.entries(marks).filter(([shard]) => shard.startsWith(`${region}/`));
  return new Set(own.flatMap(([shard, { beatMs = 0 }]) => (beatMs >= sinceMs ? [shard] : [])));
}

/**
 * How many shards of a Region's stream have brought a record in the last minutes before the newest: order, and what a
 * heartbeat proves, hold within one.
 */
export function liveShards(marks: Marks, region: string): number {
  const own = Object.entries(marks).filter(([shard]) => shard.startsWith(`${region}/`));
  const newest = Math.max(...own.map(([, { atMs }]) => atMs));
  return own.filter(([, { atMs }]) => atMs > newest - LIVE_MS).length;
}
