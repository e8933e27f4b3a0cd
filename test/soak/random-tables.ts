import type pg from 'pg';
import type { Random } from '../sim/random.ts';
import { failedStatement } from './bank.ts';

/** A type that columns may have: a value of it as SQL, and what it may become later without any value changing. */
type ColumnType = {
  readonly sql: string;
  readonly value: (random: Random) => string;
  readonly wider?: string;
};

const word = (random: Random) =>
  `'${random.pick(['', 'a', 'ünï', "it''s", '"{,}"', '\\'])}${random.below(99)}'`;
/** Long enough to be kept out of line, and not to be pressed together. */
const long = (random: Random) =>
  `(SELECT string_agg(md5(${random.below(1e6)}::text || i), '') FROM generate_series(1, 90) i)`;

const TYPES: readonly ColumnType[] = [
  { sql: 'integer', value: (r) => `${r.below(2e9) - 1e9}`, wider: 'bigint' },
  { sql: 'bigint', value: (r) => `${r.below(2 ** 40)}` },
  { sql: 'character varying(8)', value: word, wider: 'character varying(40)' },
  { sql: 'character varying(40)', value: word, wider: 'text' },
  { sql: 'text', value: (r) => (r.chance(0.3) ? long(r) : word(r)) },
  { sql: 'numeric(8,2)', value: (r) => r.between(-1e5, 1e5).toFixed(2), wider: 'numeric(14,6)' },
  { sql: 'numeric(14,6)', value: (r) => r.between(-1e5, 1e5).toFixed(6), wider: 'numeric(20,6)' },
  { sql: 'numeric', value: (r) => r.pick([`'NaN'`, '1.500', '0', `1e${r.below(40)}`]) },
  { sql: 'double precision', value: (r) => `${r.between(-1, 1)}` },
  { sql: 'boolean', value: (r) => `${r.chance(0.5)}` },
  { sql: 'jsonb', value: (r) => `'{"a": [${r.below(9)}, null], "b": "\\u00e9"}'` },
  { sql: 'integer[]', value: (r) => `'{${r.below(9)},NULL}'` },
  { sql: 'timestamp with time zone', value: (r) => `to_timestamp(${r.below(2e9)}.${r.below(1e6)})` },
  { sql: 'date', value: (r) => `date '2000-01-01' + ${r.below(9999)}` },
  { sql: 'bytea', value: (r) => `'\\x00${r.below(99) + 100}'`.replace(/1(..)'$/, "$1'") },
  { sql: 'uuid', value: (r) => `md5(${r.below(99)}::text)::uuid` },
  { sql: 'smallint', value: (r) => `${r.below(6e4) - 3e4}`, wider: 'integer' },
  { sql: 'real', value: (r) => `${r.between(-1, 1)}` },
  { sql: 'interval', value: (r) => `interval '${r.below(99)} days ${r.below(99)} seconds'` },
  { sql: 'character(5)', value: (r) => `'${r.below(999)}'` },
  { sql: 'bit varying(6)', value: (r) => `B'${r.below(32).toString(2)}'`, wider: 'bit varying(60)' },
  { sql: 'inet', value: (r) => `'10.0.${r.below(255)}.0/24'` },
  { sql: 'int4range', value: (r) => `'[${r.below(50)},${50 + r.below(50)})'` },
  { sql: 'text[]', value: (r) => `ARRAY[${word(r)}, NULL, ${word(r)}]` },
  { sql: 'mood', value: (r) => r.pick([`'sad'`, `'ok'`, `'glad'`]) },
  { sql: 'short', value: (r) => `'${r.below(999)}'` },
];

/** Values of theirs mean something in one database only: while a table has one, all values travel as text. */
const UNPORTABLE: readonly ColumnType[] = [
  { sql: 'mood[]', value: (r) => r.pick([`'{sad,ok}'`, `'{}'`]) },
  { sql: 'place', value: (r) => `'(${r.below(9)},"x y")'` },
];

/** Types of the tables that are not built in; `mood` is the workload's. */
const OWN_TYPES = `CREATE DOMAIN short AS varchar(3); CREATE TYPE place AS (shelf int, name text)`;

type Column = { name: string; type: ColumnType };
/** `keyed`: rows are known by `id`; otherwise by all that they hold. */
type Table = { name: string; readonly keyed: boolean; columns: Column[] };

/** Tables of random columns, and random work on them. */
export class RandomTables {
  readonly #tables: Table[] = [];
  #random: Random;
  #more: string | undefined;
  #names = 0;
  #ids = 100_000;

  constructor(random: Random, tables = 4) {
    this.#random = random;
    for (let left = tables; left > 0; left -= 1) this.#tables.push(this.#newTable());
  }

  /** What is drawn from now on is drawn from `random`: a round does not depend on how much was drawn before it. */
  begin(random: Random): void {
    this.#random = random;
  }

  /** Statements that make the tables and their types. */
  get schema(): string {
    return [OWN_TYPES, ...this.#tables.map((table) => this.#create(table))].join(';\n');
  }

  /** A transaction with savepoints, failures and rollbacks. Rejects if the connection is lost. */
  async transaction(client: pg.Client): Promise<void> {
    const random = this.#random;
    const statements = Array.from({ length: 1 + random.below(6) }, () => this.#statement());
    // An undone change of schema leaves no trace either.
    if (random.chance(0.1)) statements.push(`ALTER TABLE ${random.pick(this.#tables).name} ADD undone int`);
    const undo = statements.map((text) => text.startsWith('ALTER') || random.chance(0.15));
    const [isKept, back] = [random.chance(0.9), statements.map(() => random.next())];
    // Each inside of the one before it.
    const open: number[] = [];
    await client.query('BEGIN');
    for (const [at, statement] of statements.entries()) {
      await client.query(`SAVEPOINT p${at}`);
      open.push(at);
      const done = await client.query(statement).catch(failedStatement);
      if (done === undefined) await client.query(`ROLLBACK TO p${at}`);
      else if (undo[at]) {
        const to = Math.floor(back[at]! * open.length);
        await client.query(`ROLLBACK TO p${open[to]}`);
        open.length = to + 1;
      }
    }
    await client.query(isKept ? 'COMMIT' : 'ROLLBACK');
  }

  /** A change of schema, which a row makes known to the log. Its statements are one transaction. */
  alter(): readonly string[] {
    const random = this.#random;
    const table = random.pick(this.#tables);
    const change = random.pick<() => readonly string[]>([
      () => this.#addColumn(table),
      () => this.#addColumn(table),
      () => this.#dropColumn(table),
      () => this.#dropColumn(table),
      () => this.#renameColumn(table),
      () => this.#renameColumn(table),
      () => this.#retype(table),
      () => this.#renameTable(table),
      () => this.#makeAnew(table),
      () => (this.#tables.length < 8 ? this.#makeAnother() : this.#makeAnew(table)),
    ]);
    // What adds or drops may stand between two changes of one table.
    const before = random.chance(0.3) ? this.#insert(table, this.#newId()) : undefined;
    const statements = change();
    const isInside =
      before !== undefined && statements.every((text) => /ALTER TABLE \w+ (ADD|DROP) /.test(text));
    const rows = new Set([table, this.#tables.at(-1)!]);
    const after = [...rows].map((each) => this.#insert(each, this.#newId()));
    // A column that goes in the middle of a transaction, as an applier gets it, is told with the next change.
    const drops = statements.some((text) => /ALTER TABLE \w+ DROP /.test(text));
    this.#more =
      isInside || drops ? `${this.#insert(table, this.#newId())} ON CONFLICT DO NOTHING` : undefined;
    return [...(isInside ? [before] : []), ...statements, ...after];
  }

  /** What must be run after the last change of schema to make it known; it may be run twice. */
  get more(): string | undefined {
    return this.#more;
  }

  /** Far from the last: what adds to ids does not reach it. */
  #newId(): string {
    this.#ids += 10_000;
    return `${this.#ids}`;
  }

  #newTable(): Table {
    const random = this.#random;
    const columns = Array.from({ length: 1 + random.below(6) }, () => this.#newColumn());
    return { name: `r${++this.#names}`, keyed: random.chance(0.75), columns };
  }

  #newColumn(): Column {
    const types = this.#random.chance(0.03) ? UNPORTABLE : TYPES;
    return { name: `c${++this.#names}`, type: this.#random.pick(types) };
  }

  #create({ name, keyed, columns }: Table): string {
    const list = columns.map((column) => `${column.name} ${column.type.sql}`);
    const key = keyed ? 'id int PRIMARY KEY' : 'id int';
    return `CREATE TABLE ${name} (${[key, ...list].join(', ')})${keyed ? '' : `; ALTER TABLE ${name} REPLICA IDENTITY FULL`}`;
  }

  #addColumn(table: Table): readonly string[] {
    const column = this.#newColumn();
    table.columns.push(column);
    const isGiven = this.#random.chance(0.5);
    const given = isGiven ? ` DEFAULT ${plainValue(column.type, this.#random)}` : '';
    return [`ALTER TABLE ${table.name} ADD ${column.name} ${column.type.sql}${given}`];
  }

  #dropColumn(table: Table): readonly string[] {
    if (table.columns.length < 2) return this.#addColumn(table);
    const [gone] = table.columns.splice(this.#random.below(table.columns.length), 1);
    return [`ALTER TABLE ${table.name} DROP ${gone!.name}`];
  }

  /** Not the last: of that one nobody can tell a new name from a new column. */
  #renameColumn(table: Table): readonly string[] {
    if (table.columns.length < 2) return this.#addColumn(table);
    const column = table.columns[this.#random.below(table.columns.length - 1)]!;
    const before = column.name;
    column.name = `c${++this.#names}`;
    return [`ALTER TABLE ${table.name} RENAME ${before} TO ${column.name}`];
  }

  #retype(table: Table): readonly string[] {
    const column = table.columns.find(({ type }) => type.wider !== undefined);
    const wider = TYPES.find(({ sql }) => sql === column?.type.wider);
    if (column === undefined) return this.#addColumn(table);
    column.type = wider ?? { sql: column.type.wider!, value: column.type.value };
    return [`ALTER TABLE ${table.name} ALTER ${column.name} TYPE ${column.type.sql}`];
  }

  #renameTable(table: Table): readonly string[] {
    const before = table.name;
    table.name = `r${++this.#names}`;
    return [`ALTER TABLE ${before} RENAME TO ${table.name}`];
  }

  #makeAnew(table: Table): readonly string[] {
    table.columns = [this.#newColumn(), this.#newColumn()];
    return [`DROP TABLE ${table.name}`, this.#create(table)];
  }

  #makeAnother(): readonly string[] {
    const table = this.#newTable();
    this.#tables.push(table);
    return [this.#create(table)];
  }

  #insert({ name, columns }: Table, id: string): string {
    const given = columns.filter(() => this.#random.chance(0.7));
    const names = given.map((column) => `, ${column.name}`).join('');
    const values = given.map(({ type }) => `, ${type.value(this.#random)}`).join('');
    return `INSERT INTO ${name} (id${names}) VALUES (${id}${values})`;
  }

  #statement(): string {
    const random = this.#random;
    const table = random.pick(this.#tables);
    const { name, columns } = table;
    const column = random.pick(columns);
    const some = random.pick([
      'true',
      `id = ${random.below(40)}`,
      `id % 3 = ${random.below(3)}`,
      `id < ${random.below(40)}`,
    ]);
    const roll = random.next();
    if (roll < 0.4) return this.#insert(table, `${random.below(40)}`);
    if (roll < 0.5)
      return `INSERT INTO ${name} (id) SELECT generate_series(${random.below(40)}, ${random.below(60)})${table.keyed ? ' ON CONFLICT DO NOTHING' : ''}`;
    if (roll < 0.75) return `UPDATE ${name} SET ${column.name} = ${column.type.value(random)} WHERE ${some}`;
    if (roll < 0.85) return `UPDATE ${name} SET id = id + ${1 + random.below(50)} WHERE ${some}`;
    if (roll < 0.98) return `DELETE FROM ${name} WHERE ${some}`;
    return `TRUNCATE ${name}`;
  }
}

/** A default is one value for all rows. */
function plainValue(type: ColumnType, random: Random): string {
  const value = type.value(random);
  return value.startsWith('(SELECT') ? `'given'` : value;
}
