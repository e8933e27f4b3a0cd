/**
 * Entry point of an application in one Region: an HTTP server that writes to the Region's own store while that Region
 * leads. Argument: port. Configuration: the functions' own environment.
 *
 * `POST /` with an item in DynamoDB JSON, a transfer of the bank or a change of one of its documents, answers 200 once it is written, and 409 if this Region does not lead,
 * or its leader has not granted so many writes yet.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsPeers } from '#lib/aws/aws-peers.ts';
import { readConfig } from '#lib/aws/config.ts';
import { LeaderLease } from '#lib/client/leader-lease.ts';
import { NotLeaderError } from '#lib/client/not-leader-error.ts';
import { lookTimesOf } from '#lib/domain/control/application-lease.ts';
import { isFailure } from '#lib/domain/errors.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { storeWriter } from '#lib/local/application/store-writer.ts';
import { serveParent } from '#lib/local/parent.ts';

const config = readConfig(process.env);
const peers = new AwsPeers(config, STAMP_ATTRIBUTE);
const write = await storeWriter(config, peers);
const clock = { now: () => Date.now(), steadyMs: () => performance.now() };
const acceptor = peers.acceptor(config.region);
const lease = new LeaderLease({
  region: config.region,
  acceptor,
  clock,
  sleep: (ms) => sleep(ms),
  times: lookTimesOf(config.register),
});

const server = createServer(async (request, response) => {
  const answer = (status: number, body: object) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  try {
    const body = JSON.parse(await bodyOf(request)) as object;
    const { epoch } = await lease.write(() => write(body));
    answer(200, { epoch, region: config.region });
  } catch (error) {
    const isRefused = isFailure(error, 'NOT_LEADER') || isFailure(error, 'LEASE_SPENT');
    const leader = error instanceof NotLeaderError ? error.leader : undefined;
    answer(isRefused ? 409 : 500, { why: String(error), leader });
  }
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

server.listen(Number(process.argv[2]), '127.0.0.1', () => serveParent());
