import { Markup, markup, type Markup as Part } from '#lib/domain/page/markup.ts';

/** Px. A character is about this wide in the fonts of a picture; a little more leaves room for other fonts. */
export const SANS_WIDTH = 7.1;
export const MONO_WIDTH = 7.25;
const TITLE_WIDTH = 9.5;

/** Both are legible: the picture brings its own ground with it, and follows the reader's choice of light or dark. */
const STYLE = new Markup(`
svg { --ground: #ffffff; --ink: #1c2330; --faint: #5d6778; --rule: #c9cfd9; --line: #aab3c0; --panel: #f3f5f8;
  --done: #157f3b; --done-fill: #dff3e5; --failed: #c3261a; --failed-fill: #fbe3e0; --running: #1f6feb; --running-fill: #dfeaff;
  font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ground: #14171c; --ink: #e6e9ef; --faint: #9aa5b5; --rule: #3d4552; --line: #5b6675; --panel: #1d2128;
  --done: #4cc27a; --done-fill: #163524; --failed: #ff7a6e; --failed-fill: #43211f; --running: #79aaff; --running-fill: #1b2d4f; } }
text { fill: var(--ink) } .ground { fill: var(--ground); stroke: var(--rule) } .panel { fill: var(--panel) }
.title { font-size: 16px; font-weight: 650 } .faint { fill: var(--faint) } .head { font-size: 12px; font-weight: 600; fill: var(--faint) }
.mono { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; white-space: pre }
.rule { stroke: var(--rule) } .middle { text-anchor: middle } .end { text-anchor: end }
.succeeded { --c: var(--done); --f: var(--done-fill) } .failed { --c: var(--failed); --f: var(--failed-fill) }
.running { --c: var(--running); --f: var(--running-fill) } .not-run { --c: var(--rule); --f: var(--ground) }
.state { fill: var(--f); stroke: var(--c); stroke-width: 2 } .not-run .state { stroke-width: 1.2 } .not-run text { fill: var(--faint) }
.mark { fill: none; stroke: var(--c); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round } .dot, .bar { fill: var(--c) }
.way { fill: none; stroke: var(--line); stroke-width: 1.2 } .way.gone { stroke: var(--done); stroke-width: 2.2 }
.tip { fill: var(--line) } .tip.gone { fill: var(--done) }
`);

/** What is left free at each edge, and the height of the two lines above the content. */
const MARGIN = 20;
const TITLE = 54;

/**
 * A picture that needs nothing else: no script, no font, no other file.
 *
 * @param about a line below the title.
 * @param content drawn from (0, 0) on; its size is without margins.
 */
export function picture(given: {
  readonly title: string;
  readonly about: string;
  readonly width: number;
  readonly height: number;
  readonly content: Part;
}): string {
  const inner = Math.max(given.width, given.title.length * TITLE_WIDTH, given.about.length * SANS_WIDTH);
  const width = Math.ceil(inner + 2 * MARGIN);
  const height = Math.ceil(given.height + 2 * MARGIN + TITLE);
  const svg = markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${given.title}: ${given.about}">
<style>${STYLE}</style>
<rect class="ground" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
<text class="title" x="${MARGIN}" y="${MARGIN + 14}">${given.title}</text>
<text class="faint" x="${MARGIN}" y="${MARGIN + 34}">${given.about}</text>
<g transform="translate(${px((width - given.width) / 2)} ${MARGIN + TITLE})">
${given.content}
</g>
</svg>
`;
  return svg.text;
}

/** Px with a decimal, so that a picture is the same on every machine. */
export function px(value: number): number {
  return Math.round(value * 10) / 10;
}
