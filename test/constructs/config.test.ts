import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bucketName } from '#lib/constructs/bucket-name.ts';
import { parseDeployment, propsOf, readDeployment } from '#lib/constructs/config.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { DEFAULT_RETENTION } from '#lib/domain/retention.ts';
import { temporaryDirectory } from '../local/until.ts';
import { makeCertificates } from '../support/postgres-tls.ts';
import { databasesFileOf, fileOf } from './stacks.ts';

describe('a config file', () => {
  it('gives the group that it describes', () => {
    const regions = [{ name: 'eu-west-1' }, { name: 'us-east-1', follows: 'eu-west-1' }];
    const failover = {
      profile: 'fast',
      record: { zoneId: 'Z0123456789', name: 'orders.example.com', ttlSeconds: 5 },
      targets: { 'eu-west-1': 'eu.example.com', 'us-east-1': '192.0.2.1' },
      priorities: { 'us-east-1': 1 },
      noFailover: ['eu-west-1'],
    };
    const witnesses = ['eu-central-1'];
    const file = fileOf({ regions, witnesses, failover, account: '111122223333', alarmTopic: 'on-call' });
    expect(parseDeployment(file, 'f.json')).toEqual({
      config: {
        group: 'orders',
        engine: { kind: 'dynamodb', table: 'orders-data', key: file.key },
        regions,
        witnesses,
      },
      engine: {
        kind: 'dynamodb',
        table: 'orders-data',
        key: [
          { name: 'pk', type: 'S' },
          { name: 'sk', type: 'N' },
        ],
        existing: false,
      },
      failover,
      dashboard: true,
      retention: DEFAULT_RETENTION,
      account: '111122223333',
      alarmTopic: 'on-call',
    });
  });

  it('is that of the sample where no other is given', () => {
    expect(readDeployment('understudy.config.json').config.regions).toHaveLength(3);
  });

  it('that says nothing of failover gets the balanced profile and no DNS record', () => {
    const { failover } = parseDeployment(fileOf({ failover: undefined }), 'f.json');
    expect(failover).toEqual({ profile: 'balanced', targets: {} });
  });

  it('says what the group agrees by: a quorum, unless it names an MRSC table', () => {
    const regions = ['eu-west-1', 'eu-west-2', 'eu-west-3'].map((name) => ({ name }));
    const file = (changes: object) =>
      propsOf(parseDeployment(fileOf({ regions, failover: {}, ...changes }), 'f.json'));
    expect(file({}).register).toBe('quorum');
    expect(file({ register: 'quorum' }).register).toBe('quorum');
    expect(file({ register: 'mrsc' }).register).toBe('mrsc');
  });

  it('says how long the log is kept', () => {
    const { retention } = parseDeployment(fileOf({ retention: { days: 3, maxBytes: 1e12 } }), 'f.json');
    expect(retention).toEqual({ ...DEFAULT_RETENTION, days: 3, maxBytes: 1e12 });
  });

  it.each([
    [
      'a log that is held back shorter than it is kept',
      { retention: { days: 30 } },
      'CONFIG_INVALID',
      'holdDays',
    ],
    ['days of retention below none', { retention: { days: -1 } }, 'CONFIG_INVALID', 'retention.days'],
    [
      'two Regions of the same name',
      { regions: [{ name: 'eu-west-1' }, { name: 'eu-west-1' }] },
      'CONFIG_REGION_REPEATED',
      'eu-west-1',
    ],
    [
      'two replicas and no witness',
      { regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }], failover: {} },
      'REGIONS_TOO_FEW',
      'witnesses',
    ],
    [
      'a register that cannot span the Regions',
      { register: 'mrsc' },
      'CONFIG_INVALID',
      'register: no MRSC table can span',
    ],
    ['a register that is none', { register: 'raft' }, 'CONFIG_INVALID', 'register'],
    [
      'a target for a witness',
      { witnesses: ['eu-central-1'], failover: { targets: { 'eu-central-1': 'eu.example.com' } } },
      'CONFIG_INVALID',
      'not a replica',
    ],
    [
      'a hook for a Region of its own invention',
      {
        failover: {
          hostFence: { functions: { 'ca-west-1': 'arn:aws:lambda:eu-west-1:111122223333:function:f' } },
        },
      },
      'CONFIG_INVALID',
      'ca-west-1',
    ],
    [
      'a hook that is no Lambda function',
      { failover: { hostFence: { functions: { 'eu-west-1': 'https://example.com' } } } },
      'CONFIG_INVALID',
      'Lambda function',
    ],
    [
      'a hook that is waited for until the run is taken over',
      { failover: { profile: 'fast', hostFence: { functions: {}, timeoutSeconds: 4 } } },
      'CONFIG_INVALID',
      'taken over',
    ],
    ['a misspelt onLeaseLost', { failover: { onLeaseLost: 'ignore' } }, 'CONFIG_INVALID', 'onLeaseLost'],
    ['one Region alone', { regions: [{ name: 'eu-west-1' }] }, 'CONFIG_INVALID', 'two Regions'],
    [
      'a cascade to nowhere',
      { regions: [{ name: 'eu-west-1' }, { name: 'us-east-1', follows: 'ca-west-1' }] },
      'CONFIG_INVALID',
      'ca-west-1',
    ],
    ['no key', { key: [] }, 'CONFIG_INVALID', 'key'],
    ['three keys', { key: ['a', 'b', 'c'].map((name) => ({ name, type: 'S' })) }, 'CONFIG_INVALID', 'key'],
    [
      'one name for both keys',
      { key: ['a', 'a'].map((name) => ({ name, type: 'S' })) },
      'CONFIG_INVALID',
      'sort key',
    ],
    ['a table name that DynamoDB refuses', { table: 'or ders' }, 'CONFIG_INVALID', 'table'],
    ["a name of Understudy's own tables", { table: 'understudy-orders-log' }, 'CONFIG_INVALID', 'table'],
    ['a short account', { account: '1234' }, 'CONFIG_INVALID', 'account'],
    ['a misspelt field', { regoins: [] }, 'CONFIG_INVALID', 'regoins'],
    ['an unknown profile', { failover: { profile: 'brave' } }, 'CONFIG_INVALID', 'failover.profile'],
    [
      'a leader that goes on without a lease in a group that counts writes',
      { failover: { onLeaseLost: 'continue', countedWrites: true } },
      'CONFIG_INVALID',
      'onLeaseLost',
    ],
    [
      'a priority for a Region of its own invention',
      { failover: { priorities: { 'ca-west-1': 1 } } },
      'CONFIG_INVALID',
      'ca-west-1',
    ],
    [
      'a record that has no target for a Region',
      {
        failover: {
          record: { zoneId: 'Z1', name: 'orders.example.com' },
          targets: { 'eu-west-1': 'eu.example.com', 'us-east-1': 'us.example.com' },
        },
      },
      'CONFIG_INVALID',
      'ap-southeast-2',
    ],
    [
      'the name of a zone for its id',
      { failover: { record: { zoneId: 'example.com', name: 'orders.example.com' } } },
      'CONFIG_INVALID',
      'failover.record.zoneId',
    ],
  ])('is refused with %s', (_, changes, code, naming) => {
    const parse = () => parseDeployment(fileOf(changes), 'f.json');
    expect(parse).toThrow(expect.objectContaining({ code, message: expect.stringContaining(naming) }));
  });

  it('is refused where the bucket of a Region would have too long a name, with the length that fits', () => {
    const name = (group: string) =>
      bucketName(parseGroupId(group), '111122223333', parseRegionId('ap-southeast-2'));
    expect(() => name('g'.repeat(40))).toThrow('at most 24 characters');
    expect(name('g'.repeat(24))).toHaveLength(63);
  });
});

describe('a config file of databases', () => {
  it('gives the group that it describes, as the construct takes it', () => {
    const file = databasesFileOf();
    const { config, engine } = parseDeployment(file, 'f.json');
    expect(config).toMatchObject({
      group: 'orders',
      witnesses: ['eu-central-1'],
      engine: {
        kind: 'postgres',
        databases: {
          'eu-west-1': 'postgres://understudy@eu-west-1.example.com:5432/orders',
          'us-east-1': 'postgres://understudy@us-east-1.example.com:5432/orders',
        },
        logins: { 'eu-west-1': { kind: 'secret', id: 'orders' } },
        applicationRoles: ['app'],
      },
    });
    expect(engine).toEqual(file.engine);
    expect(propsOf(parseDeployment(file, 'f.json')).engine).toEqual(file.engine);
  });

  it('names the file of an authority, from where it is itself', async () => {
    await using folder = await temporaryDirectory();
    const [authority] = await makeCertificates(folder.path);
    await writeFile(join(folder.path, 'ours.pem'), authority);
    const file = databasesFileOf({ authority: 'ours.pem' });
    expect(parseDeployment(file, join(folder.path, 'f.json')).engine).toMatchObject({ authority });
    expect(() => parseDeployment(file, 'f.json')).toThrow('ours.pem cannot be read');
  });

  it.each([
    ['another engine', { kind: 'mysql' }, 'engine.kind'],
    ['a misspelt field', { databses: {} }, 'databses'],
    ['no database for a Region', { databases: {} }, 'engine.databases: it says nothing of eu-west-1'],
    ['no network for a witness', { network: {} }, 'engine.network: it says nothing of eu-west-1'],
    ['a guard that is none', { guard: 'maybe' }, 'engine.guard'],
    ['the name of a slot that is none', { slot: 'Under-Study' }, 'engine.slot'],
  ])('is refused with %s, by where that is', (_, engine, naming) => {
    expect(() => parseDeployment(databasesFileOf(engine), 'f.json')).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(naming) }),
    );
  });

  it('is refused with a table beside them, and with a password', () => {
    const file = databasesFileOf();
    expect(() => parseDeployment({ ...file, table: 'orders' }, 'f.json')).toThrow('"table"');
    const [database] = Object.values(file.engine.databases);
    const databases = { ...file.engine.databases, 'eu-west-1': { ...database, password: 'x' } };
    expect(() => parseDeployment(databasesFileOf({ databases }), 'f.json')).toThrow('"password"');
  });
});
