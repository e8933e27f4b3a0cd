/** A mark on a time axis that wants its label beside it: px along the axis. */
export type Mark = { readonly from: number; readonly to: number; readonly text: string };

/** A mark with its place: `x` is where the label starts, or where it ends if the anchor is `end`. */
export type Placed<M extends Mark> = {
  readonly mark: M;
  readonly row: number;
  readonly x: number;
  readonly anchor: 'start' | 'end';
  /** The label, cut if neither side has room for all of it. */
  readonly label: string;
};

export type Axis = { readonly left: number; readonly right: number; readonly characterWidth: number };

/** Between a mark and its label, and at least between a label and the next mark, px. */
const GAP = 6;

/** Puts marks with their labels on as few rows as an eager placement takes, so that nothing overlaps. */
export function inRows<M extends Mark>(marks: readonly M[], axis: Axis): readonly Placed<M>[] {
  const rows: { from: number; to: number }[][] = [];
  return marks.map((mark) => {
    const { label, anchor } = sideOf(mark, axis);
    const width = length(label) * axis.characterWidth + GAP;
    const taken =
      anchor === 'start'
        ? { from: mark.from, to: mark.to + width }
        : { from: mark.from - width, to: mark.to };
    const isFree = (row: (typeof rows)[number]) =>
      row.every(({ from, to }) => taken.to + GAP < from || taken.from - GAP > to);
    const free = rows.findIndex(isFree);
    const row = free === -1 ? rows.push([]) - 1 : free;
    rows[row]!.push(taken);
    return { mark, row, anchor, label, x: anchor === 'start' ? mark.to + GAP : mark.from - GAP };
  });
}

/** To the right if there is room, or else to the left, or else cut on the wider side. */
function sideOf({ from, to, text }: Mark, { left, right, characterWidth }: Axis) {
  const after = Math.floor((right - to - GAP) / characterWidth);
  const before = Math.floor((from - left - GAP) / characterWidth);
  const anchor = length(text) <= after || after >= before ? 'start' : 'end';
  return { anchor, label: cut(text, anchor === 'start' ? after : before) } as const;
}

/** At most so many characters. */
export function cut(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, Math.max(0, most - 1)).join('')}…`;
}

function length(text: string): number {
  return [...text].length;
}
