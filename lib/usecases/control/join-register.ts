import { epochOf } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { changeRegister, keep, type RegisterDeps } from '#lib/usecases/control/change-register.ts';
import { gather } from '#lib/usecases/control/gather.ts';

const TRIES = 10;
const PAUSE_MS = 100;

/**
 * Tells the Regions that know nothing of the register yet, as one does that was added to the group, what the others
 * have agreed on. Such a Region has lent no lease: to have it withdraw a grant that it never gave takes nothing from
 * anybody, and without that it would accept no epoch but the first.
 *
 * Never for a Region that has forgotten what it had promised: an operator has to know that it is new.
 */
export async function joinRegister(deps: RegisterDeps, register: Register): Promise<readonly RegionId[]> {
  const { acceptors } = deps;
  const answers = await gather(
    deps,
    (acceptor) => acceptor.read(),
    () => false,
  );
  const fresh = [...answers].filter(([, { accepted }]) => accepted === undefined).map(([region]) => region);
  if (fresh.length === 0) return [];
  if (register.epoch > 1) {
    await Promise.all(
      fresh.map((region) => acceptors.of(region).vote((register.epoch - 1) as Epoch, 'over')),
    );
  }
  // A majority is enough for a change, and this one may be without them.
  for (let tries = 0; tries < TRIES; tries += 1) {
    await changeRegister(deps, keep);
    const own = await Promise.all(fresh.map((region) => acceptors.of(region).read()));
    if (own.every((each) => epochOf(each) === register.epoch)) return fresh;
    await deps.sleep(PAUSE_MS);
  }
  throw new UnderstudyError(
    'REGISTER_CONTENDED',
    `${fresh.join(', ')} did not take over epoch ${register.epoch}`,
    'Try again; nothing else was done.',
  );
}
