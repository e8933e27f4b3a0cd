/** A process for tests to kill: starts every kind of child, reports them, and waits. Argument: directory. */
import { startDynamoServer } from '#lib/local/dynamo-server.ts';
import { Network } from '#lib/local/network.ts';
import { startS3Server } from '#lib/local/s3-server.ts';
import { spawnFamily } from './family.ts';

export type Started = {
  readonly kind: 'started';
  readonly pids: readonly number[];
  readonly ports: readonly number[];
};

const [directory] = process.argv.slice(2);
const [dynamo, suspended, s3, network, family] = await Promise.all([
  startDynamoServer({ file: `${directory}/a/dynamo.sqlite` }),
  startDynamoServer({ file: `${directory}/b/dynamo.sqlite` }),
  startS3Server({ directory: `${directory}/a` }),
  Network.start(),
  spawnFamily(),
]);
const links = await network.open([{ from: 'b', to: 'a', service: 's3', targetPort: s3.port }]);
suspended.kill('SIGSTOP');
const started: Started = {
  kind: 'started',
  pids: [dynamo.pid, suspended.pid, s3.pid, network.pid, family.program.pid, family.child],
  ports: [dynamo.port, s3.port, ...links],
};
process.send?.(started);
