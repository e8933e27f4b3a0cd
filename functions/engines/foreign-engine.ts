import { UnderstudyError } from '#lib/domain/errors.ts';

function refuse(): never {
  throw new UnderstudyError(
    'CONFIG_INVALID',
    'the code of this function is that for groups of another engine',
    'Take code for the engine of the group: the prop code is given both the name of a function and the engine.',
  );
}

/** In place of `open-tables.ts` in the bundles for databases. */
export const openTables = refuse;
/** In place of `open-databases.ts` in the bundles for tables. */
export const openDatabases = refuse;
