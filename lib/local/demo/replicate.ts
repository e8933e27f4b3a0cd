import { setTimeout as sleep } from 'node:timers/promises';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Leadership } from '#lib/domain/topology.ts';
import { Application } from '#lib/local/demo/application.ts';
import { compare, untilCaughtUp, untilFollowing } from '#lib/local/demo/convergence.ts';
import { demoStore } from '#lib/local/demo/demo-store.ts';
import { type LagProbe, quantile } from '#lib/local/demo/lag-probe.ts';
import { ProgressMeter } from '#lib/local/demo/progress.ts';
import type { View } from '#lib/local/demo/view.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

export type ReplicateOptions = {
  readonly rate: number;
  readonly seconds: number;
  /** Items to write before the synthetic load. */
  readonly load?: AsyncIterable<Write>;
  readonly frameMs: number;
};

/** How a run ended. Lag figures are absent where nothing was measured. */
export type Report = {
  readonly kind: 'report';
  readonly ok: boolean;
  /** Writes that the leader's store acknowledged. */
  readonly records: number;
  readonly failedWrites: number;
  readonly digestsEqual: boolean;
  readonly digests: Readonly<Record<string, string>>;
  readonly items: number;
  readonly lagMs: { readonly p50?: number; readonly p99?: number };
  /** What followers showed that the leader never had, a sentence each. */
  readonly torn: readonly string[];
};

/** Writes to the leader's store while the view shows the followers keep up; then compares all replicas. */
export async function replicate(
  cloud: EmbeddedCloud,
  role: Leadership,
  options: ReplicateOptions,
  view: View,
  signal: AbortSignal,
): Promise<Report> {
  const { group } = cloud;
  const { peers, engine } = cloud.open();
  const followers = group.regions.map(({ name }) => name).filter((name) => name !== role.leader);
  await untilFollowing(peers, followers, signal);
  const store = await demoStore(cloud, peers, role.leader);
  const probes = new Map<RegionId, LagProbe>();
  for (const region of followers) probes.set(region, await store.probe(region));
  for (const probe of probes.values()) probe.start();
  const meter = new ProgressMeter({ group, peers }, (region) => probes.get(region)?.takeRecent());
  const application = new Application((write: Write | undefined) =>
    write === undefined ? store.write() : store.load(write),
  );

  let status = 'Writing';
  const watching = new AbortController();
  const frames = showFrames(meter, role, view, options.frameMs, watching.signal, () => {
    const written = `${application.acknowledged} writes acknowledged`;
    return `${status}: ${written}${application.failed > 0 ? `, ${application.failed} failed` : ''}`;
  });
  try {
    if (options.load) await application.runAll(options.load, signal);
    await application.run(() => undefined, options.rate, options.seconds, signal);
    status = 'Waiting for the followers';
    await untilCaughtUp(peers, followers, signal);
    status = 'Comparing the replicas';
    const compared = await compare(engine, role.leader, followers);
    const lag = [...probes.values()].flatMap(({ samples }) => samples);
    return {
      kind: 'report',
      ok: compared.digestsEqual && application.failed === 0 && store.torn().length === 0,
      records: application.acknowledged,
      failedWrites: application.failed,
      digestsEqual: compared.digestsEqual,
      digests: compared.digests,
      items: compared.items,
      lagMs: quantiles(lag),
      torn: store.torn(),
    };
  } finally {
    watching.abort();
    await frames;
    for (const probe of probes.values()) await probe.stop();
    await store.close();
  }
}

async function showFrames(
  meter: ProgressMeter,
  role: Leadership,
  view: View,
  everyMs: number,
  signal: AbortSignal,
  status: () => string,
): Promise<void> {
  const title = `Understudy: epoch ${role.epoch}, leader ${role.leader}`;
  while (!signal.aborted) {
    const rows = await meter.measure(role);
    view.show({ title, rows, status: status() });
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}

function quantiles(samples: readonly number[]): Report['lagMs'] {
  const p50 = quantile(samples, 0.5);
  const p99 = quantile(samples, 0.99);
  return p50 === undefined || p99 === undefined ? {} : { p50, p99 };
}
