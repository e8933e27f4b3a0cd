import { expect, test } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { withAuthority } from '#lib/cli/connect.ts';

test('a command verifies databases by the file that it is given, since that of the functions is not here', () => {
  const regions = ['eu-west-1', 'us-east-1'].map((name) => ({ name, bucket: `bucket-${name}` }));
  const engine = {
    kind: 'postgres',
    databases: {},
    authority: '/opt/understudy/authority.pem',
    publication: 'understudy',
    slot: 'understudy',
  };
  const given = {
    group: 'orders',
    region: 'eu-west-1',
    engine,
    regions,
    logTable: 'log',
    controlTable: 'control',
  };
  const config = readConfig({ UNDERSTUDY_CONFIG: JSON.stringify(given) });
  expect(withAuthority(config, 'own.pem').engine).toMatchObject({ ...engine, authority: 'own.pem' });
  expect(withAuthority(config, undefined)).toBe(config);
  const tables = { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] };
  const other = readConfig({ UNDERSTUDY_CONFIG: JSON.stringify({ ...given, engine: tables }) });
  expect(withAuthority(other, 'own.pem')).toBe(other);
});
