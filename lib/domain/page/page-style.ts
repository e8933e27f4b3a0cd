import { Markup } from '#lib/domain/page/markup.ts';

/** The style sheet of every page. It holds no `<` and no `&`, so that a page is well-formed XML too. */
export const PAGE_STYLE = new Markup(`
:root { color-scheme: light dark; --ink: #1c2330; --faint: #5d6778; --page: #fff; --panel: #f5f6f8; --rule: #d9dde3;
  --gap: #d92d2014; --good: #157f3b; --bad: #c3261a; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --faint: #9aa5b5; --page: #14171c; --panel: #1d2128; --rule: #343b46; --gap: #ff6b5e1f;
    --good: #4cc27a; --bad: #ff7a6e; }
}
.p-before, .p-end { --c: #8a94a3 } .p-fault { --c: #e5483b } .p-request { --c: #5b6675 } .p-detect { --c: #e08a1e } .p-claim { --c: #c7a70a }
.p-fence { --c: #d2579b } .p-elect { --c: #9a62e0 } .p-drain { --c: #5b7ff0 } .p-promote { --c: #2f9fe0 }
.p-repoint { --c: #16a6a6 } .p-first-write { --c: #27a552 } .p-heal { --c: #6aa81f } .p-reattach { --c: #a0764a }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem; max-width: 1280px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem } h2 { margin: 2rem 0 .6rem; font-size: 1.1rem }
header p { margin: .2rem 0 0; color: var(--faint) }
.passed, .failed { padding: .1em .6em; border-radius: 1em; border: 2px solid; font-size: .9rem; vertical-align: middle }
.passed { color: var(--good) } .failed, .failures h2 { color: var(--bad) }
.failures { margin-top: 1.2rem; border-left: 4px solid var(--bad); padding-left: 1rem } .failures h2 { margin-top: 0 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: .7rem; margin-top: 1.2rem }
.figure { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: .7rem .9rem }
.figure h3 { margin: 0; font-size: .85rem; font-weight: 500; color: var(--faint) }
.figure p { margin: 0 } .figure .value { font-size: 1.2rem; font-weight: 650 }
.figure .note { font-size: .78rem; line-height: 1.35; color: var(--faint) }
section { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top }
th { font-weight: 600 } td { overflow-wrap: anywhere } td:not(:last-child) { min-width: 3.5rem }
.phases th, .phases .number { width: 6rem; border: 0; font-weight: 400 } .phases .number { text-align: right }
.phases .share { border: 0 } .share div { height: 1.1em; min-width: 1px; border-radius: 2px; background: var(--c) }
.timeline { display: block; width: 100%; min-width: 900px; height: auto; font: 11px ui-monospace, Menlo, Consolas,
  "DejaVu Sans Mono", "Liberation Mono", monospace; fill: var(--ink) }
.timeline .lane0 { fill: var(--panel) } .timeline .lane1 { fill: none } .timeline .gap { fill: var(--gap) }
.timeline .name { font-weight: 700 } .timeline .axis { fill: var(--faint) } .timeline .tick { stroke: var(--rule) }
.timeline .moment { stroke: var(--c); stroke-width: 1.5; stroke-dasharray: 5 3; opacity: .6 }
.timeline rect { fill: var(--c) } .timeline circle { fill: var(--c); stroke: var(--page) }
@media print {
  @page { size: A4 landscape; margin: 12mm }
  body { padding: 0; max-width: none; font-size: 11px } * { print-color-adjust: exact }
  .timeline { min-width: 0 } section { overflow: visible } tr, .figure, .timeline { break-inside: avoid } h2 { break-after: avoid }
}
`);
