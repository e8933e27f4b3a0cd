import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { tableOf } from '#lib/domain/topology.ts';
import { Application } from '#lib/local/demo/application.ts';
import { commitTo, Workload } from '#lib/local/demo/workload.ts';
import { PARTS } from '#lib/local/region-processes.ts';
import {
  AP,
  differences,
  EU,
  loggedSequences,
  seeded,
  startCloud,
  US,
  until,
  untilCaughtUp,
} from './support.ts';

const SEED = Number(process.env.UNDERSTUDY_SEED ?? 1);
const KILLS_EACH = 6;
const REGIONS = [EU, US, AP];

test(`after ${KILLS_EACH} kills of each process of each Region at random moments under load, nothing is lost, doubled or reordered (seed ${SEED})`, async () => {
  const { cloud, peers } = await startCloud();
  await using _ = cloud;
  const random = seeded(SEED);
  const workload = new Workload(tableOf(cloud.group).key, random);
  const application = new Application(commitTo(peers.clients(EU).dynamodb, tableOf(cloud.group).table));
  const done = new AbortController();
  const writing = application.run(() => workload.next(Date.now()), 60, 600, done.signal);

  const victims = REGIONS.flatMap((region) =>
    PARTS.flatMap((part) => Array.from({ length: KILLS_EACH }, () => ({ region, part, order: random() }))),
  ).sort((a, b) => a.order - b.order);
  for (const { region, part } of victims) {
    await until(`the ${part} of ${region} is up`, async () => cloud.isUp(region, part));
    // A random moment of its life: that is the point of the test, nothing waits for it to pass.
    await pause(random() * 150);
    cloud.kill(region, part);
  }
  done.abort();
  await writing;
  expect(victims.length).toBeGreaterThanOrEqual(50);
  expect(application.acknowledged).toBeGreaterThan(200);

  await untilCaughtUp(peers, [US, AP]);
  expect(await differences(peers, US)).toEqual([]);
  expect(await differences(peers, AP)).toEqual([]);
  // The followers first: heartbeats go on, and the leader's log only grows.
  const copies = await Promise.all([US, AP].map((region) => loggedSequences(peers, region)));
  const logged = await loggedSequences(peers, EU);
  expect(new Set(logged).size, 'a change is logged twice').toBe(logged.length);
  for (const copy of copies) expect(copy).toEqual(logged.slice(0, copy.length));
}, 180_000);
