import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RuntimeConfig } from '#lib/aws/config.ts';
import type { SdkItem } from '#lib/aws/dynamo-failure.ts';
import { WRITE_MS } from '#lib/domain/control/application-lease.ts';
import { type Transfer, transferStatement } from '#lib/local/demo/bank.ts';
import { changeStatement, type DocumentChange } from '#lib/local/demo/documents.ts';

/** Makes what a request asks for in the Region's own store; gives up after WRITE_MS. */
export type StoreWriter = (body: object) => Promise<unknown>;

/** An item of a table, in DynamoDB JSON, or a transfer of the bank or a change of one of its documents. */
export async function storeWriter(config: RuntimeConfig, peers: AwsPeers): Promise<StoreWriter> {
  const { engine, region } = config;
  switch (engine.kind) {
    case 'dynamodb': {
      const { dynamodb } = peers.clients(region);
      return (body) =>
        dynamodb.send(new PutItemCommand({ TableName: engine.table, Item: body as SdkItem }), {
          abortSignal: AbortSignal.timeout(WRITE_MS),
        });
    }
    case 'postgres': {
      const { default: driver } = await import('pg');
      const connectionString = config.endpoints[region]?.postgres ?? engine.databases[region]!;
      const timeouts = {
        connectionTimeoutMillis: WRITE_MS,
        query_timeout: WRITE_MS,
        statement_timeout: WRITE_MS,
      };
      const pool = new driver.Pool({ connectionString, ...timeouts });
      // A session that is lost shows it to whoever asks next.
      pool.on('error', () => {});
      return (body) =>
        pool.query(
          'document' in body
            ? changeStatement(body as DocumentChange)
            : transferStatement(body as Transfer, Date.now()),
        );
    }
  }
}
