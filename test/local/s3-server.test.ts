import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startS3Server } from '#lib/local/s3-server.ts';
import type { Server } from '#lib/local/supervised.ts';
import { isListening, isRunning, temporaryDirectory } from './until.ts';

const config = (endpoint: string) => ({
  endpoint,
  region: 'eu-west-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  maxAttempts: 1,
});
const s3At = (endpoint: string) => new S3Client({ ...config(endpoint), forcePathStyle: true });
const Bucket = 'segments';

async function bodyOf(s3: S3Client, Key: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

describe('the S3 server', () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let server: Server;
  let s3: S3Client;
  const put = async (Key: string, Body: string, condition: { IfNoneMatch?: string; IfMatch?: string } = {}) =>
    (await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...condition }))).ETag;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    server = await startS3Server({ directory: directory.path });
    s3 = s3At(server.endpoint);
    await s3.send(new CreateBucketCommand({ Bucket }));
  });
  afterAll(async () => {
    await server.stop();
    await directory[Symbol.asyncDispose]();
  });

  test('lets exactly one of 50 racing writers create an object', async () => {
    const racers = Array.from({ length: 50 }, (_, index) =>
      put('race', `racer ${index}`, { IfNoneMatch: '*' }),
    );
    const outcomes = await Promise.allSettled(racers);
    const winners = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
    expect(winners).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ name: 'PreconditionFailed' });
    }
    expect(String(await bodyOf(s3, 'race'))).toBe(`racer ${winners[0]}`);
  });

  test('never lets a conditional write undo an unconditional one', async () => {
    const outcome = await Promise.allSettled([
      put('mixed', 'any'),
      put('mixed', 'first', { IfNoneMatch: '*' }),
    ]);
    expect(outcome[0].status).toBe('fulfilled');
    expect(String(await bodyOf(s3, 'mixed'))).toBe('any');
  });

  test('creates an object anew after it was deleted', async () => {
    await put('anew', 'one', { IfNoneMatch: '*' });
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'anew' }));
    await put('anew', 'two', { IfNoneMatch: '*' });
    expect(String(await bodyOf(s3, 'anew'))).toBe('two');
  });

  test('replaces an object only if it is the one that is named', async () => {
    const one = await put('versions', 'one');
    const two = await put('versions', 'two', { IfMatch: one ?? '' });
    expect(two).not.toBe(one);
    await expect(put('versions', 'three', { IfMatch: one ?? '' })).rejects.toMatchObject({
      name: 'PreconditionFailed',
      $metadata: { httpStatusCode: 412 },
    });
    await expect(put('absent', 'x', { IfMatch: one ?? '' })).rejects.toMatchObject({ name: 'NoSuchKey' });
    expect(String(await bodyOf(s3, 'versions'))).toBe('two');
  });

  test('answers a conditional write to a missing bucket as any other', async () => {
    const put = new PutObjectCommand({ Bucket: 'nowhere', Key: 'a&b', Body: 'x', IfNoneMatch: '*' });
    await expect(s3.send(put)).rejects.toMatchObject({ name: 'NoSuchBucket' });
  });

  test('takes 6 MB, as one buffer and as a checksummed stream of chunks', async () => {
    const bytes = randomBytes(6_000_000);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'large/buffer', Body: bytes, IfNoneMatch: '*' }));
    expect((await bodyOf(s3, 'large/buffer')).equals(bytes)).toBe(true);

    const Body = Readable.from([bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000)]);
    const ContentLength = bytes.length;
    await s3.send(
      new PutObjectCommand({ Bucket, Key: 'large/stream', Body, ContentLength, IfNoneMatch: '*' }),
    );
    expect((await bodyOf(s3, 'large/stream')).equals(bytes)).toBe(true);
  });

  test('reads a range of bytes', async () => {
    await put('range', '0123456789');
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'range', Range: 'bytes=-3' }));
    expect(await Body?.transformToString()).toBe('789');
  });

  test('listens on the loopback interface alone', async () => {
    expect(await isListening(server.port)).toBe(true);
    // Another address of this machine, which a server on all interfaces would answer.
    expect(await isListening(server.port, '127.0.0.2')).toBe(false);
  });
});

test('objects and messages survive SIGKILL right after the answer', async () => {
  await using directory = await temporaryDirectory();
  const first = await startS3Server({ directory: directory.path });
  const s3 = s3At(first.endpoint);
  const sqs = new SQSClient(config(first.endpoint));
  await s3.send(new CreateBucketCommand({ Bucket }));
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: 'rejects' }));
  const bytes = randomBytes(300_000);
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'a poison record' }));
  await s3.send(new PutObjectCommand({ Bucket, Key: 'kept', Body: bytes, IfNoneMatch: '*' }));
  first.kill('SIGKILL');
  expect((await first.exited).signal).toBe('SIGKILL');

  await using second = await startS3Server({ directory: directory.path, port: first.port });
  expect((await bodyOf(s3At(second.endpoint), 'kept')).equals(bytes)).toBe(true);
  const again = new PutObjectCommand({ Bucket, Key: 'kept', Body: 'other', IfNoneMatch: '*' });
  await expect(s3At(second.endpoint).send(again)).rejects.toMatchObject({ name: 'PreconditionFailed' });
  const queue = new SQSClient(config(second.endpoint));
  const { Messages = [] } = await queue.send(new ReceiveMessageCommand({ QueueUrl }));
  expect(Messages.map(({ Body }) => Body)).toEqual(['a poison record']);
  await queue.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: Messages[0]?.ReceiptHandle }));
});

test('the S3 server leaves SIGINT to its parent', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startS3Server({ directory: directory.path });
  server.kill('SIGINT');
  const s3 = s3At(server.endpoint);
  await s3.send(new CreateBucketCommand({ Bucket }));
  expect(isRunning(server.pid)).toBe(true);
});

test('a server whose port is taken says so', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startS3Server({ directory: `${directory.path}/a` });
  const second = startS3Server({ directory: `${directory.path}/b`, port: server.port });
  await expect(second).rejects.toThrow(/SERVER_NOT_STARTED.*EADDRINUSE/s);
});
