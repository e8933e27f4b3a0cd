import { setTimeout as sleep } from 'node:timers/promises';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Scenario } from '#lib/local/drill/drill-report.ts';
import { secondsText } from '#lib/local/drill/report-facts.ts';
import type { Stage } from '#lib/local/drill/run-drill.ts';
import { HELD_UP_MS } from '#lib/local/drill/stores/strain.ts';
import { claimOf } from '#lib/local/drill/timeline.ts';
import type { Acknowledged } from '#lib/local/drill/writer.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';

/** Plays a scenario up to the moment at which everything should be whole again. */
export async function play(stage: Stage, scenario: Scenario): Promise<void> {
  await PLAYS[scenario](stage);
}

const PLAYS: Readonly<Record<Scenario, (stage: Stage) => Promise<void>>> = {
  'region-loss': async (stage) => {
    const { cloud, leader } = stage;
    await cloud.loseRegion(leader);
    stage.begin('fault', "all processes of the leader's Region are killed; connections to it hang");
    await written(stage, 2);
    await stage.calm();
    stage.note({ phase: 'heal', at: leader, what: 'the Region comes back with the data that it had' });
    await cloud.restoreRegion(leader);
    await takenBack(stage);
  },

  partition: async (stage) => {
    const { cloud, leader } = stage;
    await cloud.partition(leader, 'hang');
    stage.begin('fault', 'the leader is cut off from the other Regions, but lives and has users');
    await written(stage, 2);
    await stage.calm();
    stage.note({ phase: 'heal', at: leader, what: 'the network is whole again' });
    await cloud.partition(leader, 'up');
    await takenBack(stage);
  },

  pause: async (stage) => {
    const { cloud, leader } = stage;
    await stage.intrude();
    cloud.pauseRegion(leader);
    stage.begin('fault', "all processes of the leader's Region are stopped where they are");
    await written(stage, 2);
    await stage.calm();
    stage.note({ phase: 'heal', at: leader, what: 'they go on, as if nothing had happened' });
    cloud.resumeRegion(leader);
    await takenBack(stage);
  },

  switchover: async (stage) => {
    const { cloud, leader } = stage;
    const successor = cloud.group.regions.map(({ name }) => name).find((name) => name !== leader)!;
    stage.begin('request', `an operator hands the group over to ${successor}`);
    await request(stage, leader, { epoch: 1, kind: 'switchover', successor });
    await written(stage, 2, () => refuseRefused(stage));
    await stage.calm();
    await takenBack(stage);
  },

  // A network that comes and goes, each time for less than a lease: nobody is voted out.
  flapping: async (stage) => {
    const { cloud, leader } = stage;
    stage.begin('fault', 'the network of the leader flaps: away and back, five times');
    for (let times = 0; times < 5; times += 1) {
      await cloud.partition(leader, 'hang');
      await sleep(FLAP_MS, undefined, { signal: stage.signal });
      await cloud.partition(leader, 'up');
      await sleep(FLAP_MS, undefined, { signal: stage.signal });
    }
    stage.note({ phase: 'heal', at: leader, what: 'the network is steady again' });
    await stage.calm();
    await takenBack(stage);
  },

  // More reads than the machine takes, for a while: slow, but alive. Where a canary that is held up by them is slow by the profile,
  // this goes on until one was told to be: a leader that was never slow would show nothing.
  overload: async (stage) => {
    const { store, leader, leaseMs, lines, signal } = stage;
    stage.begin('fault', 'the leader is overloaded: eight at once read all of it, again and again');
    const isShown = () =>
      HELD_UP_MS <= leaseMs ||
      lines.some(({ kind, region }) => kind === 'canary-slow' && region === leader) ||
      claimOf(lines) !== undefined;
    let isOver = false;
    const strain = async () => {
      while (!isOver) {
        await store.strain(leader);
        await sleep(BREATH_MS, undefined, { signal });
      }
    };
    const watched = sleep(OVERLOAD_MS, undefined, { signal })
      .then(() => stage.until('no canary of the leader is slow', isShown))
      .finally(() => {
        isOver = true;
      });
    await Promise.all([watched, ...Array.from({ length: 8 }, strain)]);
    stage.note({ phase: 'heal', at: leader, what: 'the overload is over' });
    await stage.calm();
    await takenBack(stage);
  },

  // A Region that does not lead is lost, and with it one voice of three: the group goes on as it is.
  'register-minority': async (stage) => {
    const { cloud, leader, writer } = stage;
    const lost = cloud.group.regions.map(({ name }) => name).find((name) => name !== leader)!;
    await cloud.loseRegion(lost);
    stage.begin('fault', `${lost}, which does not lead, is lost: two voices of three are left`);
    await stage.calm();
    await stage.calm();
    const sinceMs = Date.now();
    await stage.until('no write comes through while a Region is away that does not lead', () =>
      writer.acknowledged.some(({ atMs }) => atMs >= sinceMs),
    );
    stage.note({ phase: 'heal', at: lost, what: 'it comes back' });
    await cloud.restoreRegion(lost);
    await takenBack(stage);
  },

  // The Region that has claimed the epoch is lost half-way. Once the first one is back, there is a majority again, and
  // the epoch after is claimed.
  'coordinator-loss': async (stage) => {
    const { cloud, leader } = stage;
    await cloud.loseRegion(leader);
    stage.begin('fault', "the leader's Region is lost; so is the Region that takes over, half-way");
    let coordinator: RegionId | undefined;
    await stage.until('nobody claims the next epoch', () => {
      coordinator = claimOf(stage.lines)?.region as RegionId | undefined;
      return coordinator !== undefined;
    });
    await cloud.loseRegion(coordinator!);
    stage.note({
      phase: 'fault',
      at: coordinator!,
      what: 'the coordinator is lost in the middle of the failover',
    });
    stage.note({ phase: 'heal', at: leader, what: 'the first leader comes back: two of three' });
    await cloud.restoreRegion(leader);
    await written(stage, 3);
    await stage.calm();
    stage.note({ phase: 'heal', at: coordinator!, what: 'the coordinator comes back as well' });
    await cloud.restoreRegion(coordinator!);
    await takenBack(stage);
  },

  // At once means: as soon as there is somebody who can decide, and somebody who can lead. Of three Regions two make a
  // majority, so the second one is lost in the very moment in which the first one begins to come back; and only a Region
  // that follows the new leader may lead after it without being forced to, so the third one does so by then, which takes
  // it some tenths of a second. The cooldown forbids two automatic failovers in a row: an operator lifts it.
  double: async (stage) => {
    const { cloud, leader, writer } = stage;
    await cloud.loseRegion(leader);
    stage.begin(
      'fault',
      "the leader's Region is lost; the new leader will be lost as well, right after its first writes",
    );
    await written(stage, 2);
    const second = writer.acknowledged.find(({ epoch }) => epoch === 2)!.region as RegionId;
    const third = cloud.group.regions
      .map(({ name }) => name)
      .find((name) => name !== leader && name !== second)!;
    await Promise.all([
      stage.acknowledge(),
      stage.until(
        'the third Region does not follow the new leader',
        async () => (await stage.roleOf(third)).attached === 2,
      ),
    ]);
    const acknowledged = stage.lines.length;
    stage.note({
      phase: 'fault',
      at: second,
      what: `the new leader is lost at once. ${third} just follows it, and ${leader} begins to come back: two of three, the least that can decide`,
    });
    await Promise.all([cloud.loseRegion(second), cloud.restoreRegion(leader)]);
    await written(stage, 3, () => refuseHeld(stage.lines.slice(acknowledged)));
    await stage.calm();
    stage.note({ phase: 'heal', at: second, what: 'it comes back' });
    await cloud.restoreRegion(second);
    await takenBack(stage);
  },
};

/** How long the network is away, and then back, ms: less than the shortest lease. */
const FLAP_MS = 700;
const OVERLOAD_MS = 8_000;
/** Between two strains, ms: one canary that is later still, on a machine that is busy itself, is made up for. */
const BREATH_MS = 2_000;

/** Starts a run of the failover workflow in `region`, as an operator would. */
async function request(
  stage: Stage,
  region: RegionId,
  input: { readonly epoch: number; readonly kind: 'failover' | 'switchover'; readonly successor?: RegionId },
): Promise<void> {
  const { cloud, peers } = stage;
  const { group } = cloud.group;
  const workflow = new RequestedWorkflow({
    dynamodb: peers.clients(region).dynamodb,
    group,
    table: cloud.resources.controlTable,
  });
  const { epoch, ...rest } = input;
  const run = `${group}-${epoch + 1}-drill`;
  await workflow.start({ ...rest, group, epoch: epoch as Epoch, run, trigger: 'drill', approval: false });
}

/** Throws FAILOVER_REFUSED once the switchover was refused, or taken back: nobody else is going to lead. */
function refuseRefused({ lines }: Stage): void {
  const refused = lines.find(
    ({ kind, outcome }) =>
      (kind === 'failover-yield' && outcome === 'refused') ||
      (kind === 'failover-abandon' && outcome === 'abandoned'),
  );
  if (refused === undefined) return;
  const { detail = 'taken back' } = refused;
  throw new UnderstudyError(
    'FAILOVER_REFUSED',
    `the switchover was ${detail}`,
    'Try again, with a lower --rate or another --profile if this machine is busy.',
  );
}

/** Throws DRILL_FAILED once a failover is held after the last one was acknowledged: it would come when the cooldown is over. */
function refuseHeld(lines: Stage['lines']): void {
  const held = lines.find(({ kind }) => kind === 'failover-held');
  if (held === undefined) return;
  throw new UnderstudyError(
    'DRILL_FAILED',
    `a failover is held that was acknowledged: ${held.why}`,
    'See the timeline for who holds it: that Region has not heard of the acknowledgement, or does not heed it.',
  );
}

/**
 * Waits for a write that a leader of at least this epoch has acknowledged, and tells it.
 *
 * @param check throws where there can't be one any more.
 */
async function written(stage: Stage, epoch: number, check: () => void = () => {}): Promise<void> {
  const { acknowledged } = stage.writer;
  const isNew = (write: Acknowledged) => write.epoch >= epoch;
  await stage.until('no write comes through at a new leader', () => {
    check();
    return acknowledged.some(isNew);
  });
  const first = acknowledged.find(isNew)!;
  const last = acknowledged.findLast((write) => !isNew(write));
  const since =
    last === undefined ? '' : `, ${secondsText(first.atMs - last.atMs)} after the last one of ${last.region}`;
  stage.note(
    { phase: 'first-write', at: 'client', what: `first write acknowledged by ${first.region}${since}` },
    first.atMs,
  );
}

/** Waits until every Region follows the one that leads. */
async function takenBack(stage: Stage): Promise<void> {
  await stage.until('a Region is not taken back in', async () => {
    const names = stage.cloud.group.regions.map(({ name }) => name);
    const roles = await Promise.all(names.map((name: RegionId) => stage.roleOf(name)));
    const highest = Math.max(...roles.map(({ epoch }) => epoch));
    return roles.every(({ epoch, attached }) => epoch === highest && attached === highest);
  });
}
