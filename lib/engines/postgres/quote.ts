/** An identifier as it must stand in SQL. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string constant as it must stand in SQL. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? ` E${quoted}` : quoted;
}

/** A table's name with its schema, quoted where it has to be: no two tables have the same. */
export function tableName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  const plain = (part: string) => (/^[a-z_][a-z0-9_]*$/.test(part) ? part : quote(part));
  return `${plain(schema)}.${plain(name)}`;
}
