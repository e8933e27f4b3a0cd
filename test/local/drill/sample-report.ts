import type { DrillEvent, DrillReport } from '#lib/local/drill/drill-report.ts';

const [OLD, NEW, THIRD] = ['eu-west-1', 'us-east-1', 'ap-southeast-1'];

function at(atMs: number, phase: DrillEvent['phase'], where: string, what: string): DrillEvent {
  return { atMs, phase, at: where, what };
}

const TIMELINE: readonly DrillEvent[] = [
  at(-3000, 'before', 'client', '30 writes a second through orders.demo.internal'),
  at(-21, 'before', 'client', 'last write acknowledged by eu-west-1'),
  at(0, 'fault', OLD, "all processes of the leader's Region are killed; connections to it hang"),
  at(2085, 'detect', NEW, 'beats missed and no write comes through: votes against epoch 1'),
  at(2112, 'detect', THIRD, 'beats missed and no write comes through: votes against epoch 1'),
  at(2140, 'claim', NEW, 'a majority has voted: starts the failover demo-2-us-east-1-1'),
  at(2305, 'claim', NEW, 'claim of epoch 2: claimed'),
  at(2478, 'fence', NEW, 'watchdog of the old Region: not proven, eu-west-1 did not answer'),
  at(
    2478,
    'fence',
    NEW,
    'fenced: logs sealed, us-east-1 at LSN 412, ap-southeast-1 at LSN 409; eu-west-1 does not answer',
  ),
  at(2569, 'elect', NEW, 'election: us-east-1 by the highest LSN; at most 27 records may be lost'),
  at(2655, 'drain', NEW, 'the winner has what is left of the log: up to LSN 412'),
  at(2801, 'promote', NEW, 'promotion: us-east-1 leads in epoch 2'),
  at(2890, 'repoint', 'dns', 'DNS change: submitted, orders.demo.internal names us-east-1'),
  at(2994, 'repoint', 'dns', 'DNS is in sync'),
  at(3102, 'first-write', 'client', 'first write acknowledged by us-east-1'),
  at(3180, 'end', NEW, 'a write at the new leader and DNS: verified'),
  at(6000, 'heal', OLD, 'the Region comes back with the data that it had'),
  at(6310, 'reattach', OLD, 'finds that epoch 1 is over'),
  {
    ...at(8615, 'reattach', OLD, 'its late append is refused: its changes are kept for the report'),
    times: 3,
  },
  at(8702, 'reattach', OLD, 'saves what the group does not have: 3 changes of 2 keys'),
  at(9044, 'reattach', OLD, 'is back at LSN 412 and follows epoch 2'),
  at(10_120, 'end', 'client', 'the replicas hold the same items'),
];

/** What a run of region-loss is like. */
export const SAMPLE: DrillReport = {
  kind: 'report',
  scenario: 'region-loss',
  profile: 'fast',
  ok: true,
  failures: [],
  epoch: 2,
  leader: NEW!,
  rtoMs: 3123,
  pauseMs: 3123,
  loaded: null,
  acknowledged: 412,
  lost: 2,
  reportedRpoRecords: 27,
  zombieAcknowledged: null,
  lateAcknowledged: null,
  divergent: 3,
  digestsEqual: true,
  phases: {
    detectMs: 2161,
    claimMs: 165,
    fenceMs: 173,
    electMs: 91,
    drainMs: 86,
    promoteMs: 146,
    repointMs: 193,
    firstWriteMs: 108,
  },
  timeline: TIMELINE,
  divergentSample: [
    {
      kind: 'insert',
      at: '2025-11-23T23:14:05.000Z',
      key: { id: { S: 'order-0412' } },
      before: null,
      after: { id: { S: 'order-0412' }, quantity: { N: '3' }, drillId: { S: 'write#413' } },
      lsn: '413',
    },
    {
      kind: 'update',
      at: '2025-11-23T23:14:05.000Z',
      key: { id: { S: 'order-0398' } },
      before: { id: { S: 'order-0398' }, tags: { SS: ['new'] } },
      after: { id: { S: 'order-0398' }, tags: { SS: ['new', 'paid'] } },
      lsn: null,
    },
    {
      kind: 'delete',
      at: '2025-11-23T23:14:06.000Z',
      key: { id: { S: 'order-0398' } },
      before: { id: { S: 'order-0398' }, tags: { SS: ['new', 'paid'] } },
      after: null,
      lsn: null,
    },
  ],
  candidates: [
    { region: NEW, epoch: 1, lsn: '412', appliedLsn: '410', eligible: true, why: 'eligible' },
    { region: THIRD, epoch: 1, lsn: '409', appliedLsn: '409', eligible: true, why: 'eligible' },
    {
      region: OLD,
      epoch: 1,
      lsn: '409',
      appliedLsn: null,
      eligible: false,
      why: 'its store has no position yet',
    },
  ],
  fence: {
    log: { proven: true, detail: 'sealed in us-east-1, ap-southeast-1' },
    lease: {
      proven: true,
      detail: '2 of 3 Regions have withdrawn it, each after lease and margin or with its consent',
    },
    watchdog: { proven: false, detail: 'eu-west-1 did not answer' },
    engine: { proven: false, detail: 'eu-west-1 did not answer' },
    host: { proven: false, detail: 'no hook is given' },
  },
};
