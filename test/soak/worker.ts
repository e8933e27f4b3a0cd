import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PolledSlot } from '#lib/engines/postgres/polled-slot.ts';
import { PostgresCapture } from '#lib/engines/postgres/postgres-capture.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { PostgresReplica } from '#lib/engines/postgres/postgres-replica.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { applyLog, type Holding } from '#lib/usecases/apply.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { E1, GROUP } from '../support/log-history.ts';
import { AWAY } from '../support/postgres-follower.ts';
import { HOME } from '../support/postgres-leader.ts';
import type { Answer, Asked, WorkerTask } from './protocol.ts';

/*
 * Captures or applies until it is killed. The log is with whoever started it: it outlives this process as S3 would.
 */
const PAUSE_MS = 10;
const SILENT = { event() {}, metrics() {} };
const task = JSON.parse(process.argv[2]!) as WorkerTask;
const waiting = new Map<number, PromiseWithResolvers<unknown>>();
let last = 0;

process.on('disconnect', () => process.exit());
process.on('message', ({ id, value, error }: Answer) => {
  const asked = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) asked?.resolve(value);
  else asked?.reject(new Error(error));
});

function ask(method: string, args: readonly unknown[]): Promise<unknown> {
  const asked = Promise.withResolvers<unknown>();
  waiting.set(++last, asked);
  process.send!({ id: last, method, args } satisfies Asked);
  return asked.promise;
}

const log = new Proxy({} as ReplicaLog, {
  get:
    (_, method: string) =>
    (...args: unknown[]) =>
      ask(method, args),
});
const leader = connector({ connectionString: task.leader });
const follower = connector({ connectionString: task.follower });

/** One turn after the other; what fails is told, and tried again. */
async function forever(turn: () => Promise<void>): Promise<never> {
  for (;;) {
    try {
      await turn();
    } catch (error) {
      const failure = isFailure(error) ? error : undefined;
      await ask('failed', [
        task.role,
        failure?.code ?? 'DEFECT',
        String((error as Error).stack),
        failure?.next ?? '',
      ]);
    }
    await sleep(PAUSE_MS);
  }
}

async function captureForever(): Promise<never> {
  const control = new MemoryControl(HOME);
  await control.nameLeader({ leader: HOME, epoch: E1 });
  const deps = {
    region: HOME,
    engine: new PostgresCapture(GROUP),
    log,
    control,
    divergences: new MemoryDivergences(),
    rejects: { put: () => Promise.reject(new Error('nothing is rejected')) },
    telemetry: SILENT,
  };
  const slot = { slot: task.slot, publication: 'understudy', region: HOME, epoch: E1 };
  const source = { ...slot, connect: leader, telemetry: SILENT };
  return forever(async () => {
    const from = task.streams ? new StreamedSlot(source) : new PolledSlot(source);
    await captureSource(deps, LANE_0, from, new AbortController().signal);
  });
}

async function applyForever(): Promise<never> {
  const roles = new MemoryControl(AWAY);
  await roles.nameLeader({ leader: HOME, epoch: E1 });
  const checkpoints = new PostgresCheckpoints(follower);
  const control = {
    role: () => roles.role(),
    nameLeader: () => Promise.reject(new Error('not here')),
    attach: () => Promise.reject(new Error('not here')),
    noteRewound: () => Promise.reject(new Error('not here')),
    applyState: checkpoints.applyState.bind(checkpoints),
    takeLease: checkpoints.takeLease.bind(checkpoints),
    saveApplyState: checkpoints.saveApplyState.bind(checkpoints),
  };
  const replica = new PostgresReplica({
    connect: follower,
    leader,
    publication: 'understudy',
    origin: 'soak',
  });
  const peers = { log: () => log, control: () => control };
  const deps = { region: AWAY, peers, control, storeOf: () => replica, telemetry: SILENT };
  let holding: Holding | undefined;
  return forever(async () => {
    const held = holding;
    holding = undefined;
    holding = await applyLog(deps, () => true, held);
  });
}

await (task.role === 'capture' ? captureForever() : applyForever());
