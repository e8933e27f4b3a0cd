/** A change of a report that is told as a statement. */
type Told = {
  readonly at: string;
  readonly lsn: string | null;
  readonly shard: string;
  readonly transaction?: string;
  readonly sql?: string;
};

/** Changes as SQL, transaction by transaction, each with when it was committed and whether it was logged. */
export function sqlLines(changes: readonly Told[]): readonly string[] {
  const transactions = Map.groupBy(changes, ({ shard, transaction }) => `${shard} ${transaction}`);
  return [...transactions.values()].flatMap((own) => {
    const { at, transaction } = own[0]!;
    const statements = own.flatMap(({ sql }) => (sql === undefined ? [] : [`${sql};`]));
    return [`-- ${at}, transaction ${transaction}, ${placeOf(own)}`, 'BEGIN;', ...statements, 'COMMIT;'];
  });
}

function placeOf(changes: readonly Told[]): string {
  const lsns = changes.flatMap(({ lsn }) => (lsn === null ? [] : [lsn]));
  if (lsns.length === 0) return 'not logged';
  const place = lsns.length === 1 ? `LSN ${lsns[0]}` : `LSN ${lsns[0]} to ${lsns.at(-1)}`;
  return lsns.length === changes.length ? place : `${place}, the rest not logged`;
}
