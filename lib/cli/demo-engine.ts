import { type LoadOptions, loadOf } from '#lib/cli/load-option.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type EngineConfig, GUARD_MODES, type GuardMode } from '#lib/domain/topology.ts';
import { APPLICATION_ROLE } from '#lib/local/application-role.ts';
import { BANK_SCHEMA } from '#lib/local/demo/bank.ts';
import { DOCUMENTS_SCHEMA } from '#lib/local/demo/documents.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import { planSql } from '#lib/local/load/load-sql.ts';

export type EngineOptions = LoadOptions & { readonly engine?: string; readonly guard?: string };

/** What a demo replicates: an engine, the tables of its databases, and what a user's file holds, items or SQL. */
export type DemoEngine = {
  readonly engine: EngineConfig;
  readonly schema?: string;
  readonly load?: () => AsyncIterable<Write>;
  readonly sqlFile?: string;
};

/** What --engine and --load ask for. Throws CONFIG_INVALID, and what `loadOf` and `planSql` throw. */
export async function demoEngineOf(options: EngineOptions, say: (line: string) => void): Promise<DemoEngine> {
  const { engine: name = 'dynamodb', guard, load: file, key, strict } = options;
  switch (name) {
    case 'dynamodb': {
      if (guard !== undefined) {
        throw new UnderstudyError(
          'CONFIG_INVALID',
          '--guard is about databases, which can refuse writes by themselves',
          'Give --engine postgres with it, or leave it out.',
        );
      }
      const load = await loadOf(options, say);
      return {
        engine: { kind: 'dynamodb', table: 'orders', key: load?.key ?? [{ name: 'id', type: 'S' }] },
        ...(load && { load: load.writes }),
      };
    }
    case 'postgres':
      if (key !== undefined || strict !== undefined) {
        throw new UnderstudyError(
          'CONFIG_INVALID',
          '--key and --strict are about items of a DynamoDB table',
          'Leave them out with --engine postgres.',
        );
      }
      if (file !== undefined) {
        const { rows, statements } = await planSql(file);
        say(`${file}: ${statements} statements, and ${rows} rows of COPY`);
      }
      return {
        engine: {
          kind: 'postgres',
          databases: {},
          publication: 'understudy',
          slot: 'understudy_demo',
          applicationRoles: [APPLICATION_ROLE],
          guard: guardOf(guard),
        },
        schema: `${BANK_SCHEMA}; ${DOCUMENTS_SCHEMA}`,
        ...(file !== undefined && { sqlFile: file }),
      };
    default:
      throw new UnderstudyError(
        'CONFIG_INVALID',
        `--engine ${name} is not dynamodb or postgres`,
        'Give one of the two.',
      );
  }
}

function guardOf(guard: string = 'strict'): GuardMode {
  const mode = GUARD_MODES.find((each) => each === guard);
  if (mode !== undefined) return mode;
  const wanted = `one of ${GUARD_MODES.join(', ')}`;
  throw new UnderstudyError('CONFIG_INVALID', `--guard ${guard} is not ${wanted}`, `Give ${wanted}.`);
}
