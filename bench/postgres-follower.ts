import { LANE_0 } from '#lib/domain/ids.ts';
import { EPOCH_ZERO, LSN_ZERO } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { PostgresReplica } from '#lib/engines/postgres/postgres-replica.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import type { ApplyState } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { applyLog, type Holding } from '#lib/usecases/apply.ts';
import { AWAY, EPOCH, HOME, SILENT } from './postgres-servers.ts';

export type BenchFollower = {
  /** Its tables are those of the leader: it goes on from where the log begins. */
  readonly begin: () => Promise<void>;
  /** Applies what a log holds, after a copy of the leader if it has not begun. */
  readonly apply: (log: ReplicaLog, mayGoOn?: () => boolean) => Promise<void>;
  readonly state: () => Promise<ApplyState>;
  readonly close: () => Promise<void>;
};

/** A database that follows another, as the function applies to it. */
export async function benchFollower(urls: {
  readonly leader: string;
  readonly follower: string;
}): Promise<BenchFollower> {
  const connect = connector({ connectionString: urls.follower });
  const leader = connector({ connectionString: urls.leader });
  const checkpoints = new PostgresCheckpoints(connect);
  const roles = new MemoryControl(AWAY);
  await roles.nameLeader({ leader: HOME, epoch: EPOCH });
  const notHere = () => Promise.reject(new Error('not here'));
  const control = {
    role: () => roles.role(),
    nameLeader: notHere,
    attach: notHere,
    applyState: checkpoints.applyState.bind(checkpoints),
    takeLease: checkpoints.takeLease.bind(checkpoints),
    saveApplyState: checkpoints.saveApplyState.bind(checkpoints),
    noteRewound: notHere,
  };
  const replica = new PostgresReplica({ connect, leader, publication: 'understudy', origin: 'understudy' });
  let holding: Holding | undefined;
  const moveTo = async (state: ApplyState) => {
    const { lease } = await checkpoints.takeLease(LANE_0);
    await checkpoints.saveApplyState(lease, state);
  };
  return {
    begin: () => moveTo({ applied: { lsn: LSN_ZERO, epoch: EPOCH_ZERO, totalBytes: 0n, commitMs: 0 } }),
    apply: async (log, mayGoOn = () => true) => {
      const peers = { log: () => log, control: () => control };
      const deps = { region: AWAY, peers, control, storeOf: () => replica, telemetry: SILENT };
      holding = await applyLog(deps, mayGoOn, holding);
    },
    state: () => checkpoints.applyState(LANE_0),
    close: () => replica.close(),
  };
}
