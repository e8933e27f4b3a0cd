import * as z from 'zod';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';

/** What an application does to items. Reading goes on, and so does everything that manages the table. */
const WRITES = [
  'dynamodb:PutItem',
  'dynamodb:UpdateItem',
  'dynamodb:DeleteItem',
  'dynamodb:BatchWriteItem',
  'dynamodb:PartiQLInsert',
  'dynamodb:PartiQLUpdate',
  'dynamodb:PartiQLDelete',
];

/** The epoch that has raised the fence is in the name of its statement. */
const SID = /^UnderstudyFence(\d+)$/;

const statement = z.looseObject({ Sid: z.string().optional() });
const schema = z.looseObject({ Statement: z.union([z.array(statement), statement]) });
type Policy = { readonly Statement: readonly z.infer<typeof statement>[] };

/** The epoch of the fence in a table's resource policy; undefined if there is none. */
export function fenceEpoch(policy: string | undefined): Epoch | undefined {
  if (policy === undefined) return undefined;
  const epochs = read(policy).Statement.flatMap(({ Sid }) => SID.exec(Sid ?? '')?.[1] ?? []);
  return epochs.length === 0 ? undefined : parseEpoch(Math.max(...epochs.map(Number)));
}

/**
 * The policy with a fence of `epoch` in place of any other, beside what the user has in it.
 *
 * @param exempt ARNs of the roles that may write while it is up.
 */
export function withFence(
  policy: string | undefined,
  fence: { readonly epoch: Epoch; readonly tableArn: string; readonly exempt: readonly string[] },
): string {
  const { Statement, ...rest } = policy === undefined ? { Statement: [] } : withoutStatements(policy);
  const deny = {
    Sid: `UnderstudyFence${fence.epoch}`,
    Effect: 'Deny',
    Principal: '*',
    Action: WRITES,
    Resource: fence.tableArn,
    Condition: { ArnNotEquals: { 'aws:PrincipalArn': fence.exempt } },
  };
  return JSON.stringify({ Version: '2012-10-17', ...rest, Statement: [...Statement, deny] });
}

/** The policy without its fence; undefined if nothing is left of it. */
export function withoutFence(policy: string): string | undefined {
  const rest = withoutStatements(policy);
  return rest.Statement.length === 0 ? undefined : JSON.stringify(rest);
}

function withoutStatements(policy: string): Policy {
  const { Statement, ...rest } = read(policy);
  return { ...rest, Statement: Statement.filter(({ Sid }) => !SID.test(Sid ?? '')) };
}

function read(policy: string): Policy {
  try {
    const { Statement, ...rest } = schema.parse(JSON.parse(policy));
    return { ...rest, Statement: [Statement].flat() };
  } catch (cause) {
    throw new UnderstudyError(
      'STORED_ITEM_INVALID',
      "the table's resource policy is not one",
      'See it with aws dynamodb get-resource-policy, and correct it by hand.',
      { cause },
    );
  }
}
