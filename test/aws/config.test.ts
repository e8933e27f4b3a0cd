import { describe, expect, test } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { DEFAULT_RETENTION } from '#lib/domain/retention.ts';

const EU = { name: 'eu-west-1', bucket: 'bucket-eu' };
const US = { name: 'us-east-1', bucket: 'bucket-us' };
const KEY = [{ name: 'pk', type: 'S' }];
const POSTGRES = {
  kind: 'postgres',
  databases: {
    'eu-west-1': 'postgres://understudy@db.eu/orders',
    'us-east-1': 'postgres://understudy@db.us/orders',
  },
  publication: 'understudy',
  slot: 'understudy_orders',
};
const VALID = {
  group: 'orders',
  region: 'eu-west-1',
  engine: { kind: 'dynamodb', table: 'orders', key: KEY },
  regions: [EU, { ...US, follows: 'eu-west-1' }],
  logTable: 'log-table',
  controlTable: 'control-table',
  failureQueueUrl: 'https://sqs.eu-west-1.amazonaws.com/111122223333/failures',
};

const read = (change: object = {}, endpoints?: unknown) =>
  readConfig({
    UNDERSTUDY_CONFIG: JSON.stringify({ ...VALID, ...change }),
    ...(endpoints === undefined ? {} : { UNDERSTUDY_ENDPOINTS: JSON.stringify(endpoints) }),
  });
const code = (expected: string, says = '') =>
  expect.objectContaining({
    name: 'UnderstudyError',
    code: expected,
    message: expect.stringContaining(says),
    next: expect.stringMatching(/\S/),
  });

describe('the configuration of a function', () => {
  test('says which group, which Region, and where things are', () => {
    expect(read()).toEqual({
      group: 'orders',
      region: 'eu-west-1',
      engine: VALID.engine,
      regions: [{ name: 'eu-west-1' }, { name: 'us-east-1', follows: 'eu-west-1' }],
      witnesses: [],
      logTable: 'log-table',
      controlTable: 'control-table',
      failureQueueUrl: VALID.failureQueueUrl,
      buckets: { 'eu-west-1': 'bucket-eu', 'us-east-1': 'bucket-us' },
      endpoints: {},
      reportMs: 30_000,
      failover: { profile: 'balanced', targets: {} },
      retention: DEFAULT_RETENTION,
    });
  });

  test('refuses databases that end their writes with a lease which the group is to go on without', () => {
    const failover = { onLeaseLost: 'continue' };
    for (const guard of [undefined, 'on', 'strict']) {
      expect(() => read({ engine: { ...POSTGRES, guard }, failover })).toThrow(
        code('CONFIG_INVALID', 'lease guard'),
      );
    }
    expect(read({ engine: { ...POSTGRES, guard: 'off' }, failover }).engine).toMatchObject({ guard: 'off' });
    expect(() => read({ engine: { ...POSTGRES, guard: 'loose' } })).toThrow(code('CONFIG_INVALID', 'guard'));
  });

  test('says where the register is, if it is a table of its own, and refuses one that cannot span the Regions', () => {
    const register = { kind: 'mrsc', table: 'understudy-orders-register' };
    const near = ['eu-west-2', 'eu-west-3'].map((name) => ({ name, bucket: `bucket-${name}` }));
    expect(read({ register, regions: [EU, ...near] }).register).toEqual(register);
    expect(() => read({ register, regions: [EU, US, near[0]] })).toThrow(
      code('CONFIG_INVALID', 'us-east-1 is not in the EU'),
    );
    expect(() => read({ register: { kind: 'raft' } })).toThrow(code('CONFIG_INVALID', 'register'));
  });

  test('says where the databases are that a group replicates', () => {
    expect(read({ engine: POSTGRES }).engine).toEqual(POSTGRES);
  });

  test('says how functions are let into them, and refuses a login that would go to whoever answers', () => {
    const logins = { 'eu-west-1': { kind: 'secret', id: 'orders/db' }, 'us-east-1': { kind: 'iam' } };
    const engine = { ...POSTGRES, logins, authority: 'rds' };
    expect(read({ engine }).engine).toEqual(engine);
    expect(() => read({ engine: { ...POSTGRES, logins } })).toThrow(
      code('CONFIG_INVALID', 'engine.authority'),
    );
    expect(() => read({ engine: { ...engine, logins: { 'eu-west-1': { kind: 'password' } } } })).toThrow(
      code('CONFIG_INVALID', 'engine.logins'),
    );
  });

  test('takes endpoints per Region where the group does not live at AWS', () => {
    const endpoints = { 'eu-west-1': { dynamodb: 'http://127.0.0.1:1', s3: 'http://127.0.0.1:2' } };
    expect(read({}, endpoints).endpoints).toEqual(endpoints);
  });

  test('is that of a witness, which has neither bucket nor queue', () => {
    const witness = { witnesses: ['ap-south-1'], region: 'ap-south-1' };
    expect(read({ ...witness, failureQueueUrl: undefined })).toMatchObject({
      ...witness,
      buckets: { 'eu-west-1': 'bucket-eu', 'us-east-1': 'bucket-us' },
    });
  });

  test('says how the group fails over', () => {
    const failover = {
      profile: 'fast',
      stateMachineArn: 'arn:aws:states:eu-west-1:111122223333:stateMachine:understudy-orders-failover',
      record: { zoneId: 'Z1', name: 'orders.example.com', ttlSeconds: 5 },
      targets: { 'eu-west-1': 'eu.example.com', 'us-east-1': 'us.example.com' },
      priorities: { 'us-east-1': 2 },
      noFailover: ['eu-west-1'],
    };
    expect(read({ failover }).failover).toEqual(failover);
  });

  test('that is not set, or no JSON, is invalid', () => {
    expect(() => readConfig({})).toThrow(code('CONFIG_INVALID', 'UNDERSTUDY_CONFIG is not set'));
    expect(() => readConfig({ UNDERSTUDY_CONFIG: '{' })).toThrow(code('CONFIG_INVALID', 'not JSON'));
    expect(() => readConfig({ UNDERSTUDY_CONFIG: 'null' })).toThrow(code('CONFIG_INVALID'));
  });

  test.each([
    ['group', 'a', '"a"'],
    ['group', 7, 'group'],
    ['region', 'sa-east-1', 'sa-east-1'],
    ['region', 'Ireland', 'Ireland'],
    ['engine', { ...VALID.engine, table: '' }, 'engine.table'],
    ['engine', { ...VALID.engine, key: [] }, 'engine.key'],
    ['engine', { ...VALID.engine, key: [{ name: 'pk', type: 'BOOL' }] }, 'engine.key'],
    ['engine', { ...VALID.engine, key: [...KEY, ...KEY, ...KEY] }, 'engine.key'],
    ['engine', { ...VALID.engine, kind: 'oracle' }, 'engine.kind'],
    ['engine', { ...POSTGRES, slot: 'Not a slot' }, 'engine.slot'],
    ['engine', { ...POSTGRES, databases: { 'eu-west-1': 'mysql://db/orders' } }, 'engine.databases'],
    ['regions', [EU], 'two Regions'],
    ['regions', [EU, { name: 'us-east-1' }], 'bucket'],
    ['regions', [EU, { ...US, follows: 'ap-south-1' }], 'ap-south-1'],
    ['logTable', undefined, 'logTable'],
    ['controlTable', 'x', 'controlTable'],
    ['failureQueueUrl', 'failures', 'failureQueueUrl'],
    ['witnesses', ['Ireland'], 'Ireland'],
    ['failover', { profile: 'brave' }, 'profile'],
    ['failover', { noFailover: ['ap-south-1'] }, 'ap-south-1'],
    ['failover', { onLeaseLost: 'continue', countedWrites: true }, 'onLeaseLost'],
    ['failover', { record: { zoneId: 'Z1', name: 'n', ttlSeconds: 5 } }, 'eu-west-1'],
  ])('with %s as %j is invalid and says so', (name, value, says) => {
    expect(() => read({ [name]: value })).toThrow(code('CONFIG_INVALID', says));
  });

  test('with two Regions of one name is refused by a code of its own', () => {
    expect(() => read({ regions: [EU, US, EU] })).toThrow(code('CONFIG_REGION_REPEATED', 'eu-west-1'));
  });

  test.each([
    [{ 'eu-west-1': { dynamodb: 'nowhere', s3: 'http://127.0.0.1:2' } }],
    [{ 'eu-west-1': {} }],
    [[]],
    ['x'],
  ])('with endpoints %j is invalid', (endpoints) =>
    expect(() => read({}, endpoints)).toThrow(code('CONFIG_INVALID', 'UNDERSTUDY_ENDPOINTS')),
  );
});
