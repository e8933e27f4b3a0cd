import { Graph, layout, type NodeLabel } from '@dagrejs/dagre';
import type { StateMachineDefinition } from 'aws-local-stepfunctions';
import { SANS_WIDTH } from './canvas.ts';
import { nextOf } from './recording.ts';

type Point = { readonly x: number; readonly y: number };

/** A state where it stands; `after` is the state before it where an end is drawn at each that leads to it. */
export type PlacedState = Point & {
  readonly name: string;
  readonly type: string;
  readonly after: string | undefined;
  readonly width: number;
  readonly height: number;
};
export type PlacedStep = { readonly from: string; readonly to: string; readonly points: readonly Point[] };
export type Layout = {
  readonly width: number;
  readonly height: number;
  readonly states: readonly PlacedState[];
  readonly steps: readonly PlacedStep[];
};

/** Px. */
const STATE_HEIGHT = 28;
const ROOM_FOR_MARK = 38;
/** How far from a corner of a state a step may end. */
const CORNER = 14;
const GAPS = { nodesep: 12, edgesep: 6, ranksep: 30 };

/**
 * Places the states of a workflow from top to bottom. An end that several states lead to is drawn at each of them: one
 * for all would draw lines through the whole graph.
 */
export function layoutOf(definition: StateMachineDefinition): Layout {
  const graph = new Graph();
  graph.setGraph({ rankdir: 'TB', ranker: 'tight-tree', ...GAPS });
  const states = new Map<string, Pick<PlacedState, 'name' | 'type' | 'after'>>();
  const steps: { readonly from: string; readonly to: string; readonly id: string }[] = [];
  const typeOf = (name: string) => definition.States[name]!.Type;
  const isEnd = (name: string) => ['Succeed', 'Fail'].includes(typeOf(name));
  const add = (id: string, name: string, after?: string) => {
    if (states.has(id)) return;
    states.set(id, { name, type: typeOf(name), after });
    graph.setNode(id, { width: Math.ceil(name.length * SANS_WIDTH) + ROOM_FOR_MARK, height: STATE_HEIGHT });
  };
  for (const name of Object.keys(definition.States)) if (!isEnd(name)) add(name, name);
  for (const from of [...states.keys()]) {
    for (const to of nextOf(definition, from)) {
      const id = isEnd(to) ? `${to} after ${from}` : to;
      if (isEnd(to)) add(id, to, from);
      graph.setEdge(from, id, {});
      steps.push({ from, to, id });
    }
  }
  layout(graph);
  const { height = 0, width = 0 } = graph.graph();
  return {
    width,
    height,
    states: [...states].map(([id, state]) => {
      const { height, width, x = 0, y = 0 } = graph.node(id);
      return { ...state, x, y, width, height };
    }),
    steps: steps.map(({ from, to, id }) => {
      // The layout leads a step out of a state at any side, and so through the state beside it.
      const points = (graph.edge(from, id).points ?? []).slice(1, -1);
      return {
        from,
        to,
        points: [gate(graph.node(from), points[0]!), ...points, gate(graph.node(id), points.at(-1)!)],
      };
    }),
  };
}

/** Where a state's upper or lower edge is nearest to a point. */
function gate({ height, width, x = 0, y = 0 }: NodeLabel, to: Point): Point {
  const reach = width / 2 - CORNER;
  return {
    x: Math.min(Math.max(to.x, x - reach), x + reach),
    y: to.y > y ? y + height / 2 : y - height / 2,
  };
}
