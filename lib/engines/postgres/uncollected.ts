import type { Epoch } from '#lib/domain/lsn.ts';
import { ChangeCollector } from '#lib/engines/postgres/change-collector.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { copyOutBytes } from '#lib/engines/postgres/copy-out.ts';
import { literal } from '#lib/engines/postgres/quote.ts';
import {
  openSlot,
  optionList,
  pgoutputOptions,
  readerName,
  type SlotName,
  slotFailure,
} from '#lib/engines/postgres/slot-session.ts';

/**
 * True if a slot has changes of rows that come after the sequence `known`: made here, and not read by anybody. Consumes
 * nothing. Throws SLOT_LOST, SLOT_BUSY and PUBLICATION_UNFIT.
 */
export async function hasUncollected(
  connect: Connect,
  { slot, publication, epoch }: SlotName & { readonly epoch: Epoch },
  known: bigint,
): Promise<boolean> {
  const client = await connect({ applicationName: readerName(epoch) });
  try {
    await openSlot(client, { slot, publication }, epoch);
    // A slot tells what is on disk: a commit that waits for the disk takes with it those before that have not.
    await client.query('BEGIN READ WRITE; SET LOCAL synchronous_commit = local');
    await client.query(
      `INSERT INTO understudy.heartbeat AS h (at_ms) VALUES (0) ON CONFLICT (only_one) DO UPDATE SET at_ms = h.at_ms`,
    );
    await client.query('COMMIT');
    const options = optionList(pgoutputOptions({ slot, publication }, false));
    const collector = new ChangeCollector();
    let found = false;
    await copyOutBytes(
      client,
      `SELECT data FROM pg_logical_slot_peek_binary_changes(${literal(slot)}, NULL, NULL, ${options})`,
      (message) => {
        collector.push(message);
        for (const { kind, sequence } of collector.take()?.records ?? []) {
          if (kind !== 'marker' && BigInt(sequence) > known) found = true;
        }
      },
    );
    return found;
  } catch (error) {
    throw slotFailure(error, { slot, publication });
  } finally {
    await client.end();
  }
}
