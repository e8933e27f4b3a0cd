import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Makes `docs/api/*.md` of the declarations in `dist`: per entry of the package, each export with its comment and its
 * declaration as the compiler wrote it. TypeDoc needs the compiler's JavaScript API, which TypeScript 7 has not.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENTRIES = { constructs: 'understudy', client: 'understudy/client', testing: 'understudy/testing' };

type Export = { readonly name: string; readonly from: string };

/** What an entry exports, and which module it is from. */
function exportsOf(text: string): readonly Export[] {
  return [...text.matchAll(/export (?:type )?\{([^}]*)\} from '#([^']+)\.ts'/g)]
    .flatMap(([, names = '', from = '']) =>
      names.split(',').map((name) => ({ name: name.replace(/^\s*type\s/, '').trim(), from })),
    )
    .filter(({ name }) => name !== '')
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** The statements of a declaration file that declare `name`, each with the comment before it. */
function declarationsOf(name: string, file: string): readonly { comment: string; code: string }[] {
  const text = readFileSync(file, 'utf8');
  const start = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:class|function|const|type|interface) ${name}\\b`,
    'gm',
  );
  const found = [...text.matchAll(start)].map(({ index }) => ({
    comment: commentBefore(text, index),
    code: statementAt(text, index),
  }));
  if (found.length === 0) throw new Error(`${file} does not declare ${name}`);
  return found;
}

function commentBefore(text: string, index: number): string {
  const before = text.slice(0, index).trimEnd();
  if (!before.endsWith('*/')) return '';
  const comment = before.slice(before.lastIndexOf('/**') + 3, -2);
  return comment.replace(/^ *\* ?/gm, '').trim();
}

/** To the end of the line at which all that was opened is closed again. Braces in comments come in pairs. */
function statementAt(text: string, index: number): string {
  let open = 0;
  let code = '';
  for (const line of text.slice(index).split('\n')) {
    code += `${line}\n`;
    open += (line.match(/[{([]/g)?.length ?? 0) - (line.match(/[})\]]/g)?.length ?? 0);
    if (open <= 0 && /[;}]\s*$/.test(line)) break;
  }
  return code.replace(/^\s*#private;\n/gm, '').trimEnd();
}

mkdirSync(join(ROOT, 'docs/api'), { recursive: true });
for (const [entry, specifier] of Object.entries(ENTRIES)) {
  const text = readFileSync(join(ROOT, `dist/entry/${entry}.d.ts`), 'utf8');
  const sections = exportsOf(text).map(({ name, from }) => {
    const parts = declarationsOf(name, join(ROOT, `dist/${from}.d.ts`)).map(({ comment, code }) =>
      [comment, `\`\`\`ts\n${code}\n\`\`\`\n`].filter((text) => text !== '').join('\n\n'),
    );
    return `## ${name}\n\n${parts.join('\n')}`;
  });
  const { length } = sections;
  writeFileSync(join(ROOT, `docs/api/${entry}.md`), `# \`${specifier}\`\n\n${sections.join('\n')}`);
  console.log(`docs/api/${entry}.md: ${length} exports`);
}
