import { type Connection, connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { inTime } from '#lib/cli/in-time.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { type Replayed, replay } from '#lib/cli/replay.ts';
import { table } from '#lib/cli/table.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { Decision } from '#lib/ports/history.ts';
import { epochsUpTo } from '#lib/usecases/control/survey.ts';

type HistoryOptions = GroupChoice & { json?: boolean; epoch?: string; replay?: boolean };

/** A decision, and the Region of the coordinator that made it. */
type Line = Decision & { readonly region: RegionId };

/** Epochs that are read at a time. */
const BATCH = 20;

/**
 * `understudy history`: the decisions of all runs, the newest last. With --replay, exit status 1 if one does not come
 * out the same again. A Region that does not answer is named on stderr: its decisions are missing.
 */
export async function historyCommand(options: HistoryOptions): Promise<number> {
  const connection = await connect(options);
  try {
    const lines = await read(connection, await epochsOf(connection, options.epoch));
    const replayed = options.replay ? lines.map((line) => replay(line)) : undefined;
    if (options.json) {
      for (const [index, line] of lines.entries()) {
        console.log(jsonLine({ ...line, ...(replayed && { replay: replayed[index] }) }));
      }
    } else if (lines.length === 0) {
      console.log(
        options.epoch === undefined
          ? 'No failover has been decided on yet.'
          : `No failover that was to begin epoch ${options.epoch} is on record.`,
      );
    } else {
      for (const line of table(
        headOf(replayed),
        lines.map((each, index) => row(each, replayed?.[index])),
      )) {
        console.log(line);
      }
    }
    if (replayed === undefined) return 0;
    const count = (kind: Replayed['kind']) => replayed.filter((each) => each.kind === kind).length;
    if (!options.json) {
      console.log(
        `${count('same')} decisions come out the same, ${count('differs')} differ, ${count('not-pure')} rest on more than their input`,
      );
    }
    return count('differs') === 0 ? 0 : 1;
  } finally {
    connection.close();
  }
}

/** Up to one beyond the newest that is known: a run that was refused wrote down what it was about to begin. */
async function epochsOf({ config, peers, register }: Connection, epoch: string | undefined) {
  if (epoch !== undefined) return [parseEpoch(epoch)];
  const known = await Promise.all(
    config.regions.map(async ({ name }) => {
      const item = await inTime(name, peers.acceptor(name).read(), register.sleep).catch(() => undefined);
      return item?.accepted?.value.epoch ?? 0;
    }),
  );
  return epochsUpTo(Math.max(...known) + 1);
}

async function read(
  { config, peers, register }: Connection,
  epochs: readonly Epoch[],
): Promise<readonly Line[]> {
  const answers = await Promise.all(
    config.regions.map(async ({ name: region }) => {
      const lines: Line[] = [];
      try {
        for (let from = 0; from < epochs.length; from += BATCH) {
          const batch = epochs.slice(from, from + BATCH).map((epoch) => peers.history(region).of(epoch));
          const decisions = await inTime(region, Promise.all(batch), register.sleep);
          lines.push(...decisions.flat().map((decision) => ({ ...decision, region })));
        }
      } catch (error) {
        process.stderr.write(`${region}: its decisions are missing: ${String(error)}\n`);
      }
      return lines;
    }),
  );
  return answers.flat().toSorted((a, b) => a.epoch - b.epoch || a.atMs - b.atMs);
}

function headOf(replayed: unknown): readonly string[] {
  const head = ['time', 'epoch', 'Region', 'run', 'step', 'decision'];
  return replayed === undefined ? head : [...head.slice(0, 5), 'replay', 'decision'];
}

function row({ atMs, epoch, outcome, region, run, step }: Line, replayed: Replayed | undefined) {
  const start = [new Date(atMs).toISOString(), `${epoch}`, region, run, step];
  return [...start, ...(replayed ? [replayText(replayed)] : []), outcomeText(outcome)];
}

function replayText(replayed: Replayed): string {
  if (replayed.kind !== 'differs') return replayed.kind;
  return `differs: recorded ${jsonLine(replayed.recorded)}, now ${jsonLine(replayed.replayed)}`;
}

function outcomeText(outcome: unknown): string {
  const { outcome: name, ...rest } = Object(outcome) as Record<string, unknown>;
  const more = Object.keys(rest).length === 0 ? '' : ` ${jsonLine(rest)}`;
  return `${name}${more}`;
}
