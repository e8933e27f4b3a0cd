import { connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { table } from '#lib/cli/table.ts';
import type { Lag } from '#lib/domain/lag.ts';
import { measureLag } from '#lib/usecases/measure-lag.ts';

/** `understudy lag`: where each Region stands. Exit status 1 if something is not known. */
export async function lagCommand(options: GroupChoice & { json?: boolean }): Promise<number> {
  const { config, peers, role, close } = await connect(options, 'data');
  try {
    const rows = await measureLag({ group: config, peers, nowMs: () => Date.now() }, await role());
    if (options.json) {
      for (const row of rows) {
        console.log(JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? `${value}` : value)));
      }
    } else {
      const head = ['Region', 'role', 'durable LSN', 'applied LSN', 'durable lag', 'applied lag', 'note'];
      const lines = rows.map((row) => [
        row.region,
        row.role,
        `${row.end?.lsn ?? 'unknown'}`,
        row.role === 'leader' ? '' : `${row.applied?.lsn ?? 'unknown'}`,
        row.role === 'leader' ? '' : lagText(row.durableLag),
        row.role === 'leader' ? '' : lagText(row.appliedLag),
        row.error ?? (row.snapshot ? `snapshot: ${row.snapshot.phase}` : ''),
      ]);
      for (const line of table(head, lines)) console.log(line);
    }
    const known = rows.every((row) => (row.role === 'leader' ? row.end : row.durableLag && row.appliedLag));
    return known ? 0 : 1;
  } finally {
    close();
  }
}

/** For people. */
export function lagText(lag: Lag | undefined): string {
  if (lag === undefined) return 'unknown';
  const { bytes, ms, records } = lag;
  return `${records} record${records === 1n ? '' : 's'}, ${bytes} B, ${(ms / 1000).toFixed(1)} s`;
}
