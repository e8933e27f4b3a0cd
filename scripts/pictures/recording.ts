import type { StateMachineDefinition } from 'aws-local-stepfunctions';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';

/** An execution of the workflow: how it was asked for, and all that happened to it. */
export type RecordedRun = {
  readonly name: string;
  /** As one types it at "Start execution". */
  readonly input: object;
  readonly events: readonly RunEvent[];
};

/** What the pictures of docs/DRILLS.md are drawn from, kept as docs/pictures/recording.json. */
export type Recording = {
  readonly group: GroupId;
  /** The Region in whose console it would have been. */
  readonly region: RegionId;
  /** A switchover that a person approves. */
  readonly drill: RecordedRun;
  /** The same once more, without approval. */
  readonly refused: RecordedRun;
  /** What a drill by the schedule left. */
  readonly report: DrillReport;
};

/** Where a run goes from a state, in the order of the definition. */
export function nextOf(definition: StateMachineDefinition, name: string): readonly string[] {
  const {
    Catch = [],
    Choices = [],
    Default,
    Next,
  } = definition.States[name] as {
    readonly Next?: string;
    readonly Default?: string;
    readonly Choices?: readonly { readonly Next: string }[];
    readonly Catch?: readonly { readonly Next: string }[];
  };
  const all = [Next, ...[...Choices, ...Catch].map((each) => each.Next), Default];
  return [...new Set(all.filter((each) => each !== undefined))];
}

/** The workflow as it is deployed for the group of the recording. */
export function definitionOf({ group, region }: Pick<Recording, 'group' | 'region'>): StateMachineDefinition {
  return failoverDefinition(group, region);
}

/** Throws, with what to do next, if anything ended otherwise than docs/DRILLS.md tells it: as on a machine that is too busy. */
export function requireStory({ drill, refused, report }: Recording): void {
  const ends = [
    [drill.name, drill.events.at(-1), 'succeeded at Done'],
    [refused.name, refused.events.at(-1), 'failed at Refused'],
  ] as const;
  for (const [name, end, expected] of ends) {
    const ended = end !== undefined && 'state' in end ? `${end.kind} at ${end.state}` : 'did not end';
    if (ended !== expected) throw notTold(`the run ${name} ${ended}, not ${expected}`);
  }
  if (report.outcome === 'passed') return;
  throw notTold(`the scheduled drill ${report.outcome}, ${report.code}: ${report.why}`);
}

function notTold(what: string): Error {
  return new Error(
    `${what}. No picture was changed. Run npm run pictures again while the machine has less to do.`,
  );
}
