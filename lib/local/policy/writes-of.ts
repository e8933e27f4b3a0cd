/** One action on one table that a request asks for. */
export type WriteAccess = { readonly table: string; readonly action: string };

const STATEMENTS = [
  [/^\s*insert\s+into\s+("[^"]+"|[\w.-]+)/i, 'dynamodb:PartiQLInsert'],
  [/^\s*update\s+("[^"]+"|[\w.-]+)/i, 'dynamodb:PartiQLUpdate'],
  [/^\s*delete\s+from\s+("[^"]+"|[\w.-]+)/i, 'dynamodb:PartiQLDelete'],
] as const;

type Statement = { readonly Statement?: unknown };

/** What each operation that can write asks for, by its body; every other operation reads. */
const READERS: Readonly<Record<string, (body: Body) => readonly WriteAccess[]>> = {
  PutItem: ({ TableName }) => one(TableName, 'PutItem'),
  UpdateItem: ({ TableName }) => one(TableName, 'UpdateItem'),
  DeleteItem: ({ TableName }) => one(TableName, 'DeleteItem'),
  BatchWriteItem: ({ RequestItems }) =>
    Object.keys(RequestItems ?? {}).flatMap((table) => one(table, 'BatchWriteItem')),
  TransactWriteItems: ({ TransactItems = [] }) =>
    TransactItems.flatMap((item) =>
      (['Put', 'Update', 'Delete'] as const).flatMap((kind) => one(item[kind]?.TableName, `${kind}Item`)),
    ),
  ExecuteStatement: (statement) => partiQl(statement),
  BatchExecuteStatement: ({ Statements = [] }) => Statements.flatMap(partiQl),
  ExecuteTransaction: ({ TransactStatements = [] }) => TransactStatements.flatMap(partiQl),
};

type Named = { readonly TableName?: unknown };
type Body = Named &
  Statement & {
    readonly RequestItems?: Readonly<Record<string, unknown>>;
    readonly TransactItems?: readonly Partial<Record<'Put' | 'Update' | 'Delete', Named>>[];
    readonly Statements?: readonly Statement[];
    readonly TransactStatements?: readonly Statement[];
  };

export function canWrite(operation: string): boolean {
  return operation in READERS;
}

/** The writes that a request of `operation` asks for. A body that makes no sense asks for none: the server refuses it. */
export function writesOf(operation: string, body: string): readonly WriteAccess[] {
  try {
    return READERS[operation]?.(JSON.parse(body) as Body) ?? [];
  } catch {
    return [];
  }
}

function one(table: unknown, action: string): readonly WriteAccess[] {
  // A table may be called by its ARN.
  return typeof table === 'string'
    ? [{ table: table.slice(table.lastIndexOf('/') + 1), action: `dynamodb:${action}` }]
    : [];
}

function partiQl({ Statement }: Statement): readonly WriteAccess[] {
  return STATEMENTS.flatMap(([pattern, action]) => {
    const table = pattern.exec(String(Statement))?.[1]?.replaceAll('"', '');
    return table === undefined ? [] : [{ table, action }];
  });
}
