import type pg from 'pg';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { binaryFit, openSlot, type SlotName } from '#lib/engines/postgres/slot-session.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

export type SlotDeps = SlotName & {
  readonly region: RegionId;
  /** In whose name the slot is read. */
  readonly epoch: Epoch;
  readonly connect: Connect;
  readonly telemetry: Telemetry;
  /** Nothing that waits in it is the group's: the database follows, and has nothing of its own. */
  readonly follows?: boolean;
};

/** Ends a session of binary forms that meets a table whose values must be text, be it as it once was. */
export class TextNeeded extends Error {}

/**
 * Reads in a session of binary forms where that fits, and goes on in one of text once that has met a type which must be.
 *
 * @param read one session; `former` is the server's process of the one before, which is to end. Returns its own process, if it
 * has ended by TextNeeded: what was not confirmed is read again.
 */
export async function* readOnAsText<T>(
  read: (former: number | undefined) => AsyncGenerator<T, number | undefined>,
): AsyncGenerator<T> {
  const former = yield* read(undefined);
  if (former !== undefined) yield* read(former);
}

/**
 * Opens a slot, once the session `former` has ended, with which all is read as text. `check` throws TextNeeded at a type whose
 * binary form may not be read. Throws as `openSlot` does.
 */
export async function openToRead(
  client: pg.Client,
  deps: Pick<SlotDeps, 'slot' | 'publication' | 'epoch' | 'telemetry' | 'follows'>,
  former: number | undefined,
): Promise<{ readonly binary: boolean; readonly check: (type: number) => void }> {
  // Of this role's, and with it its hold of the slot.
  if (former !== undefined) await client.query('SELECT pg_terminate_backend($1, 5000)', [former]);
  const { retainedBytes } = await openSlot(client, deps, deps.epoch, deps.follows);
  deps.telemetry.metrics({ SlotRetainedBytes: retainedBytes });
  const { fit, portable } = await binaryFit(client, deps.publication);
  const binary = fit && former === undefined;
  const check = (type: number) => {
    if (binary && !portable.has(type)) throw new TextNeeded(`type ${type}`);
  };
  return { binary, check };
}
