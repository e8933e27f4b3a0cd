/** A statement of a file of SQL, and the line on which it begins. */
export type SqlStatement = { readonly line: number; readonly sql: string };

/** What a character or word means outside of strings and comments. An identifier is taken whole: it may contain a dollar. */
const TOKEN =
  /--.*|\/\*|[eE]'|'|"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|[();\\]/g;
/** Within a comment, which may hold others. */
const COMMENT = /\/\*|\*\//g;
/** What ends a string, and what only looks so. */
const STRING = /''|'/g;
const ESCAPED_STRING = /\\.|\\$|''|'/g;
const NAME = /"/g;
/** What may have a body of statements between BEGIN ATOMIC and END. */
const ROUTINE = /^create( or replace)? (function|procedure)\b/;

/** Cuts SQL into its statements, line by line, as psql does: by the semicolons outside of strings, comments, parentheses and bodies. */
export class SqlSplitter {
  #text = '';
  #line = 0;
  /** The string that is open, by what ends it. */
  #string: RegExp | undefined;
  #comments = 0;
  #parentheses = 0;
  #bodies = 0;
  /** The first words of the statement. */
  #words: string[] = [];

  /** Is the place between two statements? */
  get isBetween(): boolean {
    return this.#words.length === 0 && this.#text.trim() === '' && this.#comments === 0;
  }

  /** Where the statement begins that is not at its end yet. */
  get line(): number {
    return this.#line;
  }

  /** Characters of that statement so far. */
  get length(): number {
    return this.#text.length;
  }

  /** Takes a line; returns the statements that end on it. A backslash that is no part of a string or name is told as `command`. */
  push(
    text: string,
    number: number,
  ): { readonly statements: readonly SqlStatement[]; readonly command?: string } {
    const statements: SqlStatement[] = [];
    let from = 0;
    for (let at = 0; at < text.length; ) {
      const pattern = this.#string ?? (this.#comments > 0 ? COMMENT : TOKEN);
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      // What begins a statement is no white space and no comment.
      const until = found?.index ?? text.length;
      if (this.#string === undefined && this.#comments === 0) this.#begin(text.slice(at, until), number);
      if (found === null) break;
      const [token] = found;
      at = pattern.lastIndex;
      if (this.#string !== undefined) {
        if (token !== "''" && !token.startsWith('\\')) this.#string = undefined;
      } else if (token === '/*' || token === '*/') this.#comments += token === '/*' ? 1 : -1;
      else if (token === '\\') return { statements, command: text.slice(until) };
      else if (!token.startsWith('--')) {
        this.#begin(token, number);
        this.#take(token);
        if (token === ';' && this.#parentheses <= 0 && this.#bodies === 0) {
          const sql = (this.#text + text.slice(from, at)).trim();
          if (this.#words.length > 0) statements.push({ line: this.#line, sql });
          this.#clear();
          from = at;
        }
      }
    }
    this.#text += `${text.slice(from)}\n`;
    if (this.#words.length === 0 && this.#comments === 0 && this.#string === undefined) this.#text = '';
    return { statements };
  }

  /** The last statement, if no semicolon ends it; undefined if there is none. */
  end(): SqlStatement | undefined {
    return this.#words.length === 0 ? undefined : { line: this.#line, sql: this.#text.trim() };
  }

  /** Is there a string or a comment that does not end? */
  get isOpen(): boolean {
    return this.#string !== undefined || this.#comments > 0;
  }

  #begin(text: string, number: number): void {
    if (this.#words.length > 0 || text.trim() === '' || text === ';') return;
    this.#line = number;
    // Not yet a word: one is added by #take.
    this.#words = [''];
  }

  #take(token: string): void {
    if (token === "'") this.#string = STRING;
    else if (token === '"') this.#string = NAME;
    else if (/^e'$/i.test(token)) this.#string = ESCAPED_STRING;
    else if (token.startsWith('$')) this.#string = new RegExp(token.replaceAll('$', '\\$'), 'g');
    else if (token === '(') this.#parentheses += 1;
    else if (token === ')') this.#parentheses -= 1;
    else if (token !== ';') this.#word(token.toLowerCase());
  }

  #word(word: string): void {
    if (this.#words.length <= 5) this.#words.push(word);
    if (this.#parentheses > 0 || !ROUTINE.test(this.#words.join(' ').trim())) return;
    if (word === 'begin' || (word === 'case' && this.#bodies > 0)) this.#bodies += 1;
    else if (word === 'end' && this.#bodies > 0) this.#bodies -= 1;
  }

  #clear(): void {
    this.#text = '';
    this.#words = [];
    this.#parentheses = 0;
  }
}
