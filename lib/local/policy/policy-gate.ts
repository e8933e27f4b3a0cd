import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { denies } from '#lib/local/policy/policy-rules.ts';
import { PolicyStore, type StoredPolicy } from '#lib/local/policy/policy-store.ts';
import { canWrite, writesOf } from '#lib/local/policy/writes-of.ts';

export type GateOptions = {
  /** Port of the DynamoDB server on this machine. */
  readonly target: number;
  /** File of the policies. */
  readonly file: string;
  /** ARN of the principal that an access key stands for; a key that is not there is a user of its name. */
  readonly principals: Readonly<Record<string, string>>;
};

const POLICY_BYTES = 20_480;
const ERRORS = 'com.amazonaws.dynamodb.v20120810#';
/** An operation that DynamoDB has not: for a drill, what is written to a table from now on is kept back for a while. */
const HOLD_UP = 'HoldUpWrites';
/** How often it is asked whether that is over, ms. */
const HELD_POLL_MS = 50;

/**
 * Stands before a DynamoDB server that knows no resource policies: keeps them, with revisions, and refuses a write
 * that one denies to the principal of the request's access key. All else it hands on as it is, and at once, unless it was asked
 * to hold up a table's writes (`holdUpWrites`).
 */
export function createGate({ target, file, principals }: GateOptions): Server {
  const store = new PolicyStore(file);
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  /** Until when the writes of a table are kept back, Unix ms. */
  const heldUntil = new Map<string, number>();
  const ask = (from: IncomingMessage, headers: object, body?: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const { method, url: path } = from;
      const onward = request({
        host: '127.0.0.1',
        port: target,
        method,
        path,
        headers:
          body === undefined ? { ...headers } : { ...headers, 'content-length': Buffer.byteLength(body) },
        agent,
      });
      onward.on('response', resolve).on('error', reject);
      if (body === undefined) from.pipe(onward);
      else onward.end(body);
    });
  const handOn = async (from: IncomingMessage, to: ServerResponse, body?: string): Promise<void> => {
    const answer = await ask(from, from.headers, body);
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
    answer.on('error', () => to.destroy());
  };

  const changePolicy = async (
    operation: string,
    from: IncomingMessage,
    to: ServerResponse,
  ): Promise<void> => {
    const {
      ResourceArn = '',
      Policy = '',
      ExpectedRevisionId,
    } = JSON.parse(await textOf(from)) as Record<string, string>;
    const table = ResourceArn.slice(ResourceArn.lastIndexOf('/') + 1);
    // Whether there is such a table is the server's to say.
    const described = await ask(
      from,
      { ...from.headers, 'x-amz-target': 'DynamoDB_20120810.DescribeTable' },
      JSON.stringify({ TableName: table }),
    );
    if (described.statusCode !== 200) {
      to.writeHead(described.statusCode ?? 502, described.headers);
      return void described.pipe(to);
    }
    described.resume();
    const stored = store.of(table);
    const fits = ExpectedRevisionId === undefined || ExpectedRevisionId === (stored?.revision ?? 'NO_POLICY');
    if (!fits || (operation === 'GetResourcePolicy' && stored === undefined)) {
      return fail(
        to,
        'PolicyNotFoundException',
        `Resource-based policy not found for the provided ResourceArn: ${ResourceArn}`,
      );
    }
    switch (operation) {
      case 'GetResourcePolicy':
        return succeed(to, { Policy: stored!.text, RevisionId: stored!.revision });
      case 'DeleteResourcePolicy':
        store.delete(table);
        return succeed(to, stored === undefined ? {} : { RevisionId: stored.revision });
    }
    if (Policy.length > POLICY_BYTES)
      return fail(to, 'ValidationException', 'The policy is larger than 20 KB');
    let put: StoredPolicy;
    try {
      put = store.put(table, ResourceArn, Policy);
    } catch (error) {
      return fail(to, 'ValidationException', `Invalid policy document: ${String(error)}`);
    }
    succeed(to, { RevisionId: put.revision });
  };

  return createServer((from, to) => {
    const operation = String(from.headers['x-amz-target'] ?? '').split('.')[1] ?? '';
    const work = async (): Promise<void> => {
      if (operation.endsWith('ResourcePolicy')) return changePolicy(operation, from, to);
      if (operation === HOLD_UP) {
        const { TableName, Ms } = JSON.parse(await textOf(from)) as { TableName: string; Ms: number };
        heldUntil.set(TableName, Date.now() + Ms);
        return succeed(to, {});
      }
      if ((store.isEmpty && heldUntil.size === 0) || !canWrite(operation)) return handOn(from, to);
      const body = await textOf(from);
      const principal = principalOf(from, principals);
      const writes = writesOf(operation, body);
      while (writes.some(({ table }) => (heldUntil.get(table) ?? 0) > Date.now())) await sleep(HELD_POLL_MS);
      for (const { action, table } of writes) {
        const stored = store.of(table);
        if (stored === undefined || !denies(stored.policy, { principal, action, resource: stored.arn }))
          continue;
        const why = `User: ${principal} is not authorized to perform: ${action} on resource: ${stored.arn} with an explicit deny in a resource-based policy`;
        return fail(to, 'AccessDeniedException', why, 'com.amazon.coral.service#');
      }
      return handOn(from, to, body);
    };
    // As a server that is gone: whoever asks sees its connection end.
    work().catch(() => to.destroy());
  });
}

/** Has the gate at `endpoint` keep back what is written to a table in the next `ms`, and hand it on then; 0 ends it. */
export async function holdUpWrites(endpoint: string, table: string, ms: number): Promise<void> {
  const headers = { 'x-amz-target': `DynamoDB_20120810.${HOLD_UP}` };
  const response = await fetch(endpoint, {
    method: 'POST',
    headers,
    body: JSON.stringify({ TableName: table, Ms: ms }),
  });
  if (!response.ok) throw new Error(`the policy gate answered ${response.status}`);
  await response.arrayBuffer();
}

/** The principal is whoever the access key of the signature belongs to. */
function principalOf({ headers }: IncomingMessage, principals: GateOptions['principals']): string {
  const key = /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? 'anonymous';
  return principals[key] ?? `arn:aws:iam::000000000000:user/${key}`;
}

async function textOf(from: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of from) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function succeed(to: ServerResponse, body: object): void {
  to.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
}

function fail(to: ServerResponse, name: string, message: string, space = ERRORS): void {
  to.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' });
  to.end(JSON.stringify({ __type: `${space}${name}`, message }));
}
