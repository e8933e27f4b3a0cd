import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { CreateTableCommand, type DynamoDBClient, UpdateTableCommand } from '@aws-sdk/client-dynamodb';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { AwsExistingTable } from '#lib/aws/aws-existing-table.ts';
import { BALLOT_ZERO, type Ballot } from '#lib/domain/control/acceptor.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { ZONE_ID } from '#lib/local/dns/route53-api.ts';
import { change, setOf, startTestDns, type TestDns, ZONE } from '../support/dns.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';

const [EU, US, WITNESS] = ['eu-west-1', 'us-east-1', 'eu-central-1'].map(parseRegionId) as [
  never,
  never,
  never,
];
const GROUP = parseGroupId('orders');
const STACK = 'arn:aws:cloudformation:eu-west-1:111122223333:stack/understudy-orders-eu-west-1/1';

let server: TestServer;
let dns: TestDns;
let cloudFormation: CloudFormation;
let control: string;
let invoke: (event: unknown) => Promise<unknown>;

/** What asks the function and hears its answer: one HTTP server, as CloudFormation is one. */
class CloudFormation {
  readonly answers: {
    Status: string;
    Reason?: string;
    Data?: { StreamArn: string };
    PhysicalResourceId: string;
  }[] = [];
  status = 'UPDATE_IN_PROGRESS';
  /** Answers that it loses before it takes one. */
  deaf = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async listen(): Promise<string> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'PUT') {
      // As S3 would: the signature of the URL is for a request without a type.
      if (request.headers['content-type'] !== undefined) return void response.writeHead(403).end();
      if (this.deaf-- > 0) return void response.writeHead(503).end();
      this.answers.push((await json(request)) as never);
      return void response.end();
    }
    response
      .writeHead(200, { 'content-type': 'text/xml' })
      .end(
        `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult>` +
          `<Stacks><member><StackName>s</StackName><StackStatus>${this.status}</StackStatus></member></Stacks>` +
          `</DescribeStacksResult></DescribeStacksResponse>`,
      );
  }
}

beforeAll(async () => {
  server = await startTestServer();
  dns = await startTestDns();
  cloudFormation = new CloudFormation();
  control = await server.createTable(CONTROL_KEY);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  cloudFormation.close();
  await dns[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const engineOf = (table: string) => ({ kind: 'dynamodb', table, key: [{ name: 'pk', type: 'S' }] });

/** The function as it is deployed in eu-west-1, with what a test wants otherwise; us-east-1 is out of reach. */
async function deployed(changes: object = {}): Promise<void> {
  const endpoint = await endpointOf(server.dynamodb);
  const own = { dynamodb: endpoint, credentials: { accessKeyId: 'local', secretAccessKey: 'local' } };
  url ??= await cloudFormation.listen();
  const regions = [EU, US].map((name) => ({ name, bucket: `bucket-${name}` }));
  const config = {
    group: GROUP,
    region: EU,
    engine: engineOf('orders'),
    regions,
    witnesses: [WITNESS],
    logTable: 'log',
    controlTable: control,
    failover: {
      record: { zoneId: ZONE_ID, name: `orders.${ZONE}`, ttlSeconds: 5 },
      targets: { [EU]: 'eu.example.com', [US]: 'us.example.com' },
    },
    ...changes,
  };
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(config));
  vi.stubEnv(
    'UNDERSTUDY_ENDPOINTS',
    JSON.stringify({
      [EU]: { ...own, route53: dns.endpoint, cloudformation: url },
      [US]: { ...own, dynamodb: 'http://127.0.0.1:1' },
      [WITNESS]: { ...own, dynamodb: 'http://127.0.0.1:1' },
    }),
  );
  vi.resetModules();
  const { writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo(() => {});
  const { handler } = await import('#functions/deploy-check/handler.ts');
  invoke = (event) =>
    (handler as (event: unknown, context: Context) => Promise<unknown>)(event, {} as Context);
}
let url: string | undefined;

async function endpointOf(client: DynamoDBClient): Promise<string> {
  const { hostname, port } = await client.config.endpoint!();
  return `http://${hostname}:${port}`;
}

/** What CloudFormation hears when it asks. */
async function ask(RequestType: 'Create' | 'Update' | 'Delete', properties: object = {}) {
  await invoke({
    RequestType,
    ResponseURL: `${url}/answer`,
    StackId: STACK,
    RequestId: '1',
    LogicalResourceId: 'Check',
    ...(RequestType !== 'Create' && { PhysicalResourceId: 'understudy-orders-eu-west-1' }),
    ResourceProperties: { ServiceToken: 'arn', existing: 'false', template: 'abc', ...properties },
  });
  return cloudFormation.answers.at(-1)!;
}

let ballots = 0;
/** Puts a value into the register of eu-west-1, in a control table of its own. */
async function agreeOn(register: Partial<Register>): Promise<void> {
  control = await server.createTable(CONTROL_KEY);
  const acceptor = new AwsAcceptor({ dynamodb: server.dynamodb, group: GROUP, table: control });
  const value = { ...founded(EU, parseEpoch(1), 'founding'), ...register };
  const ballot = `${++ballots}`.padStart(BALLOT_ZERO.length, '0') as Ballot;
  const { kind } = await acceptor.join(ballot, value);
  expect(kind).toBe('joined');
}

beforeEach(() => {
  cloudFormation.status = 'UPDATE_IN_PROGRESS';
});

describe('a deployment', () => {
  test('of a group that is not there yet goes on', async () => {
    control = 'understudy-no-table-yet';
    await deployed();
    expect(await ask('Create')).toMatchObject({
      Status: 'SUCCESS',
      PhysicalResourceId: 'understudy-orders-eu-west-1',
      StackId: STACK,
    });
  });

  test('over a group that has its leader goes on, though two of its Regions do not answer', async () => {
    await agreeOn({});
    await deployed();
    expect(await ask('Update')).toMatchObject({ Status: 'SUCCESS' });
  });

  test('over a group that is failing over is refused, with who does it and what to do', async () => {
    await agreeOn({ phase: 'failing-over', coordinator: US });
    await deployed();
    expect(await ask('Update')).toEqual(
      expect.objectContaining({
        Status: 'FAILED',
        Reason: expect.stringMatching(
          /DEPLOY_REFUSED: The group is failing-over: us-east-1 has claimed epoch 1\. Wait until it is done/,
        ),
      }),
    );
  });

  test('with another register than the group was founded with is refused, until a leader is known to it', async () => {
    control = await server.createTable(CONTROL_KEY);
    const own = new AwsControl({ dynamodb: server.dynamodb, region: EU, group: GROUP, table: control });
    await own.nameLeader({ epoch: parseEpoch(3), leader: US });
    await deployed();
    expect((await ask('Update')).Reason).toContain(
      'us-east-1 leads epoch 3, and the register that is to be deployed knows nothing of it',
    );
  });

  test('with an MRSC register is refused while there is no such table, or only one of this Region alone', async () => {
    control = await server.createTable(CONTROL_KEY);
    const near = {
      regions: [EU, WITNESS].map((name) => ({ name, bucket: `bucket-${name}` })),
      witnesses: ['eu-west-2'],
      failover: {},
    };
    await deployed({ ...near, register: { kind: 'mrsc', table: 'no-register' } });
    expect((await ask('Create')).Reason).toContain(
      'There is no register yet: no table no-register in eu-west-1',
    );
    const table = await server.createTable(CONTROL_KEY);
    await deployed({ ...near, register: { kind: 'mrsc', table } });
    expect((await ask('Create')).Reason).toContain(`Table ${table} is no global table of multi-Region`);
  });

  test('that takes a refused one back is not refused: the stack would be stuck', async () => {
    await agreeOn({ phase: 'switching-over' });
    await deployed();
    cloudFormation.status = 'UPDATE_ROLLBACK_IN_PROGRESS';
    expect(await ask('Update')).toMatchObject({ Status: 'SUCCESS' });
  });

  test('that an operator wants anyway is not refused', async () => {
    await agreeOn({ phase: 'failing-over' });
    await deployed();
    expect(await ask('Update', { anyway: 'a fix of the run that is stuck' })).toMatchObject({
      Status: 'SUCCESS',
    });
  });

  test('without the replica that leads is refused', async () => {
    await agreeOn({ leader: parseRegionId('ap-south-1') });
    await deployed();
    expect((await ask('Update')).Reason).toContain('ap-south-1 leads epoch 1, and is not a replica');
  });

  test('with a record that is not in its zone is refused, and with a zone that there is not', async () => {
    await agreeOn({});
    const failover = (zoneId: string, name: string) => ({
      failover: {
        record: { zoneId, name, ttlSeconds: 5 },
        targets: { [EU]: 'a.example.com', [US]: 'b.example.com' },
      },
    });
    await deployed(failover(ZONE_ID, 'orders.example.org'));
    expect((await ask('Create')).Reason).toContain(`orders.example.org is not in the zone ${ZONE_ID}`);
    await deployed(failover('Z404', `orders.${ZONE}`));
    expect((await ask('Create')).Reason).toContain('There is no hosted zone Z404');
  });

  test('with sets that health checks move is refused where a set of another kind stands, and there alone', async () => {
    await agreeOn({});
    const flip = { record: { zoneId: ZONE_ID, name: `moved.${ZONE}`, ttlSeconds: 5, flip: 'data-plane' } };
    await deployed({ failover: { ...flip, targets: { [EU]: 'a.example.com', [US]: 'b.example.com' } } });
    expect((await ask('Create')).Status).toBe('SUCCESS');
    const own = { ...setOf('moved', 'CNAME', 'a.example.com'), SetIdentifier: EU, Weight: 1 };
    await change(dns.route53, ['CREATE', own], ['CREATE', setOf('x.moved', 'CNAME', 'b.example.com')]);
    expect((await ask('Update')).Status).toBe('SUCCESS');
    await change(dns.route53, ['DELETE', own], ['CREATE', setOf('moved', 'CNAME', 'a.example.com')]);
    expect((await ask('Update')).Reason).toContain(
      `A record stands at moved.${ZONE}, such as a failover changes`,
    );
  });

  test('hears its answer although CloudFormation loses the first', async () => {
    await agreeOn({});
    await deployed();
    cloudFormation.deaf = 1;
    const heard = cloudFormation.answers.length;
    expect(await ask('Update')).toMatchObject({ Status: 'SUCCESS' });
    expect(cloudFormation.answers).toHaveLength(heard + 1);
  });
});

describe('a table that is there already', () => {
  let tables = 0;
  const existing = { existing: 'true' };

  /** A table of a name of its own, and the function of a group that wants it. */
  async function tableWith(changes: object = {}): Promise<string> {
    const table = `orders-${++tables}`;
    await server.dynamodb.send(
      new CreateTableCommand({
        TableName: table,
        KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
        AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
        BillingMode: 'PAY_PER_REQUEST',
        StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
        ...changes,
      }),
    );
    control = 'understudy-no-table-yet';
    await deployed({ engine: engineOf(table) });
    return table;
  }
  const inspect = (table: string) => new AwsExistingTable({ dynamodb: server.dynamodb, table });

  test('is taken in as it is, and its stream told', async () => {
    const table = await tableWith();
    const { Status, Data } = await ask('Create', existing);
    expect(Status).toBe('SUCCESS');
    const facts = await inspect(table).look();
    expect(facts).toMatchObject({ group: 'orders', streamArn: Data?.StreamArn });
    expect(Data?.StreamArn).toContain(`table/${table}/stream/`);
  });

  test.each([
    [
      'has no stream',
      { StreamSpecification: undefined },
      /has no stream\. Run: aws dynamodb update-table --region eu-west-1 /,
    ],
    [
      'has a stream of the wrong view type',
      { StreamSpecification: { StreamEnabled: true, StreamViewType: 'KEYS_ONLY' } },
      /carries KEYS_ONLY, not new and old images\. Once nobody reads it any more, run: .*StreamEnabled=false/,
    ],
    [
      'has another key',
      { AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'N' }] },
      /has the key pk \(N\), and the engine says pk \(S\)/,
    ],
  ])('is refused if it %s, and is left alone', async (_, changes, reason) => {
    const table = await tableWith(changes);
    const { Status, Reason } = await ask('Create', existing);
    expect(Status).toBe('FAILED');
    expect(Reason).toMatch(reason);
    expect((await inspect(table).look())?.group).toBeUndefined();
  });

  test('is taken in once it has what it lacked', async () => {
    const table = await tableWith({ StreamSpecification: undefined });
    expect((await ask('Create', existing)).Status).toBe('FAILED');
    await server.dynamodb.send(
      new UpdateTableCommand({
        TableName: table,
        StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
      }),
    );
    expect((await ask('Create', existing)).Status).toBe('SUCCESS');
  });

  test('is refused if it is in another Region only', async () => {
    await deployed({ engine: engineOf('elsewhere') });
    expect((await ask('Create', existing)).Reason).toContain('There is no table elsewhere in eu-west-1');
  });

  test('is refused to a second group, whose leaving does not free it', async () => {
    const table = await tableWith();
    await inspect(table).claim(parseGroupId('bills'));
    expect((await ask('Create', existing)).Reason).toContain(`Table ${table} belongs to group bills`);
    expect(await ask('Delete', existing)).toMatchObject({ Status: 'SUCCESS' });
    expect((await inspect(table).look())?.group).toBe('bills');
  });

  test('is let go when the stack goes', async () => {
    const table = await tableWith();
    await ask('Create', existing);
    expect(await ask('Delete', existing)).toMatchObject({ Status: 'SUCCESS' });
    expect((await inspect(table).look())?.group).toBeUndefined();
  });
});

test('a stack goes although nothing can be asked any more', async () => {
  await deployed({ engine: engineOf('gone') });
  expect(await ask('Delete', { existing: 'true' })).toMatchObject({ Status: 'SUCCESS' });
});
