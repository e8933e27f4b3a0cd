import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { CLOUD_FOLDER } from '#lib/local/cloud-file.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { processesOf } from '../cli/run.ts';

const LEADER = parseRegionId('eu-west-1');
let tmp: string;

beforeEach(async () => {
  tmp = await mkdtemp(join(tmpdir(), 'cloud-'));
  vi.stubEnv('TMPDIR', tmp);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(tmp, { recursive: true });
});

async function givenUpAt(moment: string): Promise<readonly string[]> {
  const leaving = new AbortController();
  const steps: string[] = [];
  const onStep = (step: string) => {
    steps.push(step);
    if (step === moment) leaving.abort(new Error('enough'));
  };
  if (moment === 'before') leaving.abort(new Error('enough'));
  const group = parseGroup({
    group: 'demo',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
    regions: [LEADER, 'us-east-1', 'ap-southeast-1'].map((name) => ({ name })),
  });
  const failover = { profile: 'fast', ttlSeconds: 1, propagationMs: 0 } as const;
  const start = EmbeddedCloud.start({ group, leader: LEADER, failover, onStep, signal: leaving.signal });
  await expect(start).rejects.toThrow('enough');
  return steps;
}

// A start that is given up and goes on all the same comes to the next step.
test.each([
  ['before', []],
  ['the servers of each Region', ['the servers of each Region']],
  ['tables, buckets and queues', ['the servers of each Region', 'tables, buckets and queues']],
])('a start that is given up at "%s" stops there and leaves no process and no file', async (moment, come) => {
  expect(await givenUpAt(moment)).toEqual(come);
  // What synthesis leaves goes when this process ends.
  expect((await readdir(tmp)).filter((name) => name.startsWith(CLOUD_FOLDER))).toEqual([]);
  expect(await processesOf(tmp)).toEqual([]);
});
