import { type Markup, markup } from '#lib/domain/page/markup.ts';
import { PAGE_STYLE } from '#lib/domain/page/page-style.ts';

/** A figure that a page begins with. */
export type Figure = { readonly name: string; readonly value: string; readonly note: string };

/** A page that needs nothing else: no script, no other file. It is well-formed XML, too. */
export function pageOf({
  title,
  about,
  verdict,
  isGood,
  content,
}: {
  readonly title: string;
  /** What it is about, a line each. */
  readonly about: readonly string[];
  /** In a word. */
  readonly verdict: string;
  readonly isGood: boolean;
  readonly content: readonly Markup[];
}): string {
  const page = markup`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>${title}: ${verdict}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${title} <span class="${isGood ? 'passed' : 'failed'}">${verdict}</span></h1>
${about.map((line) => markup`<p>${line}</p>`)}
</header>
${content.map((each) => markup`${each}\n`)}</body>
</html>
`;
  return page.text;
}

export function section(title: string, content: readonly Markup[]): Markup {
  return markup`<section><h2>${title}</h2>${content}</section>`;
}

/** What failed, sentence by sentence. */
export function failures(lines: readonly string[]): Markup {
  return markup`<section class="failures"><h2>What failed</h2><ul>${lines.map((line) => markup`<li>${line}</li>`)}</ul></section>`;
}

export function figures(all: readonly Figure[]): Markup {
  return markup`<section class="figures">${all.map(
    ({ name, note, value }) =>
      markup`<div class="figure"><h3>${name}</h3><p class="value">${value}</p><p class="note">${note}</p></div>`,
  )}</section>`;
}

/** @param none what stands in the place of a table without rows. */
export function tableOf(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  none: string,
): readonly Markup[] {
  if (rows.length === 0) return [markup`<p>${none}</p>`];
  const body = rows.map((cells) => markup`<tr>${cells.map((cell) => markup`<td>${cell}</td>`)}</tr>\n`);
  return [
    markup`<table><thead><tr>${head.map((name) => markup`<th>${name}</th>`)}</tr></thead><tbody>${body}</tbody></table>`,
  ];
}
