import { readFileSync } from 'node:fs';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';

export const DRILLS = readFileSync(new URL('../../docs/DRILLS.md', import.meta.url), 'utf8');

type State = {
  readonly Type: string;
  readonly Next?: string;
  readonly Choices?: readonly { readonly Next: string }[];
  readonly Catch?: readonly { readonly Next: string }[];
};

/** The states of the workflow that is deployed. */
export const STATES = failoverDefinition(parseGroupId('orders'), parseRegionId('eu-west-1'))
  .States as Readonly<Record<string, State>>;

/** The way of a run, as the document says that a switchover without a fault goes: the states that do something. */
export const WAY = /<!-- way -->\s*(.+)/.exec(DRILLS)![1]!.replaceAll('`', '').split(' → ');

/** Which state that does something follows on one that is passed through. */
function beyond(name: string): readonly string[] {
  const { Choices = [], Next, Type } = STATES[name]!;
  if (Type === 'Choice') return Choices.flatMap((each) => beyond(each.Next));
  return Type === 'Pass' ? beyond(Next!) : [name];
}

/** True for a state that does something, or that is an end. */
export function isShown(name: string): boolean {
  return ['Task', 'Succeed', 'Fail'].includes(STATES[name]?.Type ?? '');
}

/** The workflow as a Mermaid flow chart: each call and each end, without what is only passed through or waited in. */
export function workflowPicture(): string {
  const names = Object.keys(STATES);
  const id = (name: string) => `s${names.indexOf(name)}`;
  const shapes = names.filter(isShown).map((name) => {
    const text = STATES[name]!.Type === 'Task' ? `["${name}"]` : `(["${name}"])`;
    return `  ${id(name)}${text}${WAY.includes(name) ? ':::way' : ''}`;
  });
  const edges = names
    .filter((name) => STATES[name]!.Type === 'Task')
    .flatMap((name) => {
      const { Catch = [], Next } = STATES[name]!;
      const next = [Next!, ...Catch.map((each) => each.Next)].flatMap(beyond);
      // A wait leads back to the state that is tried again.
      const to = next.map((each) => (STATES[each]!.Type === 'Wait' ? STATES[each]!.Next! : each));
      return [...new Set(to)].map((each) => `  ${id(name)} --> ${id(each)}`);
    });
  return ['```mermaid', 'flowchart TD', ...shapes, ...edges, '  classDef way stroke-width:4px', '```'].join(
    '\n',
  );
}
