import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AwsInspector } from '#lib/aws/aws-inspector.ts';
import { RegionClients } from '#lib/aws/region-clients.ts';
import { EU } from '../support/memory-group.ts';

const TLS_ONLY = {
  Statement: [{ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }],
};

let server: Server;
let clients: RegionClients;
/** What the server answers by the query that S3 knows a setting by. */
let answers: Readonly<Record<string, readonly [status: number, body: string]>>;

beforeEach(async () => {
  server = createServer((request, response) => {
    const [setting = ''] = new URL(request.url ?? '/', 'http://s3').searchParams.keys();
    const [status, body] = answers[setting] ?? [404, failure('NoSuchBucket')];
    response.writeHead(status).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  clients = new RegionClients(EU, { [EU]: { dynamodb: endpoint, s3: endpoint, credentials } });
});
afterEach(() => {
  clients.destroy();
  server.close();
});

function failure(code: string): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
}
const versioning = (status: string) =>
  [200, `<VersioningConfiguration><Status>${status}</Status></VersioningConfiguration>`] as const;

describe('a bucket', () => {
  test('is as its policy and its versioning say', async () => {
    const bucket = () => new AwsInspector(clients).bucket('segments');
    answers = { versioning: versioning('Enabled'), policy: [200, JSON.stringify(TLS_ONLY)] };
    expect(await bucket()).toEqual({ versioned: true, refusesPlainHttp: true });
    answers = { versioning: versioning('Suspended'), policy: [200, '{"Statement":[{"Effect":"Allow"}]}'] };
    expect(await bucket()).toEqual({ versioned: false, refusesPlainHttp: false });
    answers = { versioning: versioning('Suspended'), policy: [404, failure('NoSuchBucketPolicy')] };
    expect(await bucket()).toEqual({ versioned: false, refusesPlainHttp: false });
  });

  test('that is not there is undefined, and one that may not be read is a failure', async () => {
    answers = {};
    expect(await new AwsInspector(clients).bucket('segments')).toBeUndefined();
    answers = { versioning: [403, failure('AccessDenied')], policy: [403, failure('AccessDenied')] };
    await expect(new AwsInspector(clients).bucket('segments')).rejects.toMatchObject({
      name: 'AccessDenied',
    });
  });
});
