import { readFileSync } from 'node:fs';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';

export const DRILLS = readFileSync(new URL('../../docs/DRILLS.md', import.meta.url), 'utf8');

/** The states of the workflow that is deployed. */
export const STATES = failoverDefinition(parseGroupId('orders'), parseRegionId('eu-west-1')).States;

/** The way of a run, as the document says that a switchover without a fault goes: the states that do something. */
export const WAY = /<!-- way -->\s*(.+)/.exec(DRILLS)![1]!.replaceAll('`', '').split(' → ');

/** True for a state that does something, or that is an end. */
export function isShown(name: string): boolean {
  return ['Task', 'Succeed', 'Fail'].includes(STATES[name]?.Type ?? '');
}

/** What the document has one type, as JSON. */
export const INPUTS = [...DRILLS.matchAll(/```json\n([^`]+)```/g)].map(([, text]) => text!);
