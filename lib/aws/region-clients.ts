import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { SQSClient } from '@aws-sdk/client-sqs';
import type { Endpoints, RegionEndpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** Time to connect, and time for one try of a request, ms. A Region that is lost hangs; it must not hold us. */
const CONNECT_MS = 2_000;
const REQUEST_MS = 10_000;
/**
 * The same for a table that reads and writes in several Regions at once: in a Region that is cut off it may hang, and a sentinel
 * that waits for it neither beats nor fences.
 */
const REGISTER_MS = 1_000;

/** Without the middleware that makes ready for a log what was sent and received: nobody logs it, and it is a tenth of a request. */
function unlogged<C extends DynamoDBClient | DynamoDBStreamsClient | S3Client>(client: C): C {
  client.middlewareStack.remove('loggerMiddleware');
  return client;
}

/** SDK clients of one Region. Each is made when it is first used. */
export class RegionClients {
  readonly #region: RegionId;
  readonly #endpoints: RegionEndpoints | undefined;
  #dynamodb?: DynamoDBClient;
  #register?: DynamoDBClient;
  #streams?: DynamoDBStreamsClient;
  #s3?: S3Client;
  #sqs?: SQSClient;
  #sfn?: SFNClient;
  #cloudwatch?: CloudWatchClient;
  #lambda?: LambdaClient;
  #application?: DynamoDBClient;

  constructor(region: RegionId, endpoints: Endpoints) {
    this.#region = region;
    this.#endpoints = endpoints[region];
  }

  get dynamodb(): DynamoDBClient {
    this.#dynamodb ??= unlogged(
      new DynamoDBClient({ ...this.#common(), ...endpoint(this.#endpoints?.dynamodb) }),
    );
    return this.#dynamodb;
  }

  /** For a register that is an MRSC table. */
  get register(): DynamoDBClient {
    this.#register ??= unlogged(
      new DynamoDBClient({
        ...this.#common(REGISTER_MS, REGISTER_MS),
        ...endpoint(this.#endpoints?.register ?? this.#endpoints?.dynamodb),
        // Whoever asks asks again soon, and knows better what for.
        maxAttempts: 1,
      }),
    );
    return this.#register;
  }

  get streams(): DynamoDBStreamsClient {
    this.#streams ??= unlogged(
      new DynamoDBStreamsClient({
        ...this.#common(),
        ...endpoint(this.#endpoints?.dynamodb),
      }),
    );
    return this.#streams;
  }

  get s3(): S3Client {
    this.#s3 ??= unlogged(
      new S3Client({
        ...this.#common(),
        ...endpoint(this.#endpoints?.s3),
        // Endpoints that are not AWS's have no name per bucket.
        forcePathStyle: this.#endpoints !== undefined,
      }),
    );
    return this.#s3;
  }

  get sqs(): SQSClient {
    this.#sqs ??= new SQSClient({ ...this.#common(), ...endpoint(this.#endpoints?.sqs) });
    return this.#sqs;
  }

  /** Undefined where the group does not live at AWS: nobody else has one. */
  get sfn(): SFNClient | undefined {
    if (this.#endpoints !== undefined) return undefined;
    this.#sfn ??= new SFNClient(this.#common());
    return this.#sfn;
  }

  /** Undefined where the group does not live at AWS. */
  get lambda(): LambdaClient | undefined {
    if (this.#endpoints !== undefined) return undefined;
    this.#lambda ??= new LambdaClient(this.#common());
    return this.#lambda;
  }

  /** DynamoDB as an application of the Region is known to it; undefined where nobody lends its credentials. */
  get applicationDynamodb(): DynamoDBClient | undefined {
    const credentials = this.#endpoints?.application;
    if (credentials === undefined) return undefined;
    this.#application ??= unlogged(
      new DynamoDBClient({
        ...this.#common(),
        ...endpoint(this.#endpoints?.dynamodb),
        credentials,
      }),
    );
    return this.#application;
  }

  /** Undefined where the group does not live at AWS, and nobody plays CloudWatch. */
  get cloudwatch(): CloudWatchClient | undefined {
    if (this.#endpoints !== undefined && this.#endpoints.cloudwatch === undefined) return undefined;
    this.#cloudwatch ??= new CloudWatchClient({
      ...this.#common(),
      ...endpoint(this.#endpoints?.cloudwatch),
    });
    return this.#cloudwatch;
  }

  /** Closes the connections of all clients. */
  destroy(): void {
    this.#dynamodb?.destroy();
    this.#register?.destroy();
    this.#streams?.destroy();
    this.#s3?.destroy();
    this.#sqs?.destroy();
    this.#sfn?.destroy();
    this.#cloudwatch?.destroy();
    this.#lambda?.destroy();
    this.#application?.destroy();
  }

  #common(connectionTimeout = CONNECT_MS, requestTimeout = REQUEST_MS) {
    return {
      region: this.#region,
      maxAttempts: 3,
      ...(this.#endpoints?.credentials && { credentials: this.#endpoints.credentials }),
      requestHandler: {
        connectionTimeout,
        requestTimeout,
        throwOnRequestTimeout: true,
        httpAgent: { keepAlive: true, maxSockets: 64 },
        httpsAgent: { keepAlive: true, maxSockets: 64 },
      },
    };
  }
}

function endpoint(url: string | undefined): { endpoint?: string } {
  return url === undefined ? {} : { endpoint: url };
}
