import { type Markup, markup } from '#lib/domain/page/markup.ts';
import { picture, px } from './canvas.ts';
import type { Layout, PlacedState, PlacedStep } from './graph-layout.ts';
import type { Progress, Status } from './progress.ts';

/** Px that are still drawn below the last state of a part, and fade in the end. */
const BELOW = 150;
const FADE = 26;
/** Length of an arrow's tip, px. */
const TIP = 6;

/**
 * The workflow with what has become of each of its states.
 *
 * @param part only as far as the run has come, and a little farther.
 */
export function graphPicture(
  { states, steps, ...size }: Layout,
  progress: Progress,
  text: { readonly title: string; readonly about: string },
  part: 'whole' | 'part',
): string {
  const statusOf = ({ after, name }: PlacedState): Status =>
    after === undefined || progress.hasGone(after, name) ? progress.statusOf(name) : 'not-run';
  const last = Math.max(...states.filter((each) => statusOf(each) !== 'not-run').map(({ y }) => y));
  const bottom = part === 'whole' ? size.height : last + BELOW;
  const shown = states.filter(({ y }) => y < bottom);
  const left = part === 'whole' ? 0 : Math.min(...shown.map(({ width, x }) => x - width / 2));
  const right = part === 'whole' ? size.width : Math.max(...shown.map(({ width, x }) => x + width / 2));
  const gone = (step: PlacedStep) => progress.hasGone(step.from, step.to);
  // What was gone lies above what was not.
  const ordered = [...steps.filter((step) => !gone(step)), ...steps.filter(gone)];
  const drawn = markup`${ordered
    .filter(({ points }) => points[0]!.y < bottom)
    .map((step) => stepSvg(step, gone(step)))}${shown.map((state) => stateSvg(state, statusOf(state)))}`;
  const [width, height] = [px(right - left), px(bottom)];
  const content =
    part === 'whole'
      ? drawn
      : markup`<defs><linearGradient id="fade" x2="0" y2="1"><stop offset="${px((1 - FADE / height) * 100)}%" stop-color="#fff"/><stop offset="1" stop-color="#000"/></linearGradient>
<mask id="part"><rect x="${px(left - 2)}" y="-2" width="${px(right - left + 4)}" height="${height}" fill="url(#fade)"/></mask></defs>
<g transform="translate(${px(-left)} 0)"><g mask="url(#part)">${drawn}</g></g>`;
  return picture({ ...text, width, height, content });
}

/** A round end, a pointed choice, and a box for all else. */
function stateSvg({ height, name, type, width, x, y }: PlacedState, status: Status): Markup {
  const [left, right] = [px(x - width / 2), px(x + width / 2)];
  const [top, bottom] = [px(y - height / 2), px(y + height / 2)];
  const isEnd = type === 'Succeed' || type === 'Fail';
  const shape =
    type === 'Choice'
      ? markup`<path class="state" d="M${left + 9} ${top}H${right - 9}L${right} ${px(y)}L${right - 9} ${bottom}H${left + 9}L${left} ${px(y)}Z"/>`
      : markup`<rect class="state" x="${left}" y="${top}" width="${px(width)}" height="${height}" rx="${isEnd ? height / 2 : 5}"/>`;
  const base = px(y + 4.5);
  const label =
    status === 'not-run'
      ? markup`<text class="middle" x="${px(x)}" y="${base}">${name}</text>`
      : markup`<text x="${left + 26}" y="${base}">${name}</text>`;
  return markup`<g class="${status}">${shape}${markSvg(status, left + 16, y)}${label}</g>\n`;
}

/** What colour alone would not tell everybody: a tick, a cross, or a dot. */
export function markSvg(status: Status, x: number, y: number): Markup {
  switch (status) {
    case 'succeeded':
      return markup`<path class="mark" d="M${px(x - 5)} ${px(y)}l3.5 4l6 -8"/>`;
    case 'failed':
      return markup`<path class="mark" d="M${px(x - 4)} ${px(y - 4)}l8 8m0 -8l-8 8"/>`;
    case 'running':
      return markup`<circle class="dot" cx="${px(x)}" cy="${px(y)}" r="4.5"/>`;
    case 'not-run':
      return markup``;
  }
}

/**
 * From edge to edge of the two states, upright at each point of the layout: between two rows, where no state is, it goes
 * to the side.
 */
function stepSvg({ points }: PlacedStep, isGone: boolean): Markup {
  const [first, ...rest] = points;
  const end = rest.at(-1)!;
  const down = end.y > rest.at(-2)!.y ? 1 : -1;
  const foot = { x: end.x, y: end.y - down * TIP };
  let before = first!;
  let path = `M${px(before.x)} ${px(before.y)}`;
  for (const point of [...rest.slice(0, -1), foot]) {
    const middle = px((before.y + point.y) / 2);
    path += `C${px(before.x)} ${middle} ${px(point.x)} ${middle} ${px(point.x)} ${px(point.y)}`;
    before = point;
  }
  const kind = isGone ? ' gone' : '';
  const tip = `M${px(end.x)} ${px(end.y)}l-3.5 ${-down * TIP}h7Z`;
  return markup`<path class="way${kind}" d="${path}"/><path class="tip${kind}" d="${tip}"/>\n`;
}
