import { isFailure } from '#lib/domain/errors.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';

/** The role of a Region; undefined where nobody has been made leader yet. */
export async function roleOf(control: Pick<Control, 'role'>): Promise<Role | undefined> {
  try {
    return await control.role();
  } catch (error) {
    if (isFailure(error, 'ROLE_UNKNOWN')) return undefined;
    throw error;
  }
}
