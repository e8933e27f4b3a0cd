import {
  DescribeContinuousBackupsCommand,
  DescribeTableCommand,
  ResourceNotFoundException,
  type TableDescription,
} from '@aws-sdk/client-dynamodb';
import { GetBucketPolicyCommand, GetBucketVersioningCommand } from '@aws-sdk/client-s3';
import { DescribeStateMachineCommand } from '@aws-sdk/client-sfn';
import type { RegionClients } from '#lib/aws/region-clients.ts';
import type { InspectedBucket, InspectedTable } from '#lib/domain/doctor.ts';
import type { KeyType } from '#lib/domain/topology.ts';

/** Looks at what a group has in one Region. Reads alone; what does not exist is undefined. */
export class AwsInspector {
  readonly #clients: RegionClients;

  constructor(clients: RegionClients) {
    this.#clients = clients;
  }

  async table(name: string): Promise<InspectedTable | undefined> {
    const { dynamodb } = this.#clients;
    let found: TableDescription | undefined;
    try {
      found = (await dynamodb.send(new DescribeTableCommand({ TableName: name }))).Table;
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
    const types = new Map(
      found?.AttributeDefinitions?.map((each) => [each.AttributeName, each.AttributeType]),
    );
    const { StreamEnabled, StreamViewType } = found?.StreamSpecification ?? {};
    return {
      key: (found?.KeySchema ?? []).map(({ AttributeName = '' }) => ({
        name: AttributeName,
        type: types.get(AttributeName) as KeyType,
      })),
      ...(StreamEnabled && { streamView: StreamViewType }),
      replicas: found?.Replicas?.map(({ RegionName = '' }) => RegionName) ?? [],
      deletionProtection: found?.DeletionProtectionEnabled === true,
      pointInTimeRecovery: await this.#pointInTimeRecovery(name),
    };
  }

  async bucket(name: string): Promise<InspectedBucket | undefined> {
    const { s3 } = this.#clients;
    try {
      const [{ Status }, policy] = await Promise.all([
        s3.send(new GetBucketVersioningCommand({ Bucket: name })),
        s3.send(new GetBucketPolicyCommand({ Bucket: name })).then(
          ({ Policy = '' }) => Policy,
          (error) => {
            if (error instanceof Error && error.name === 'NoSuchBucketPolicy') return '';
            throw error;
          },
        ),
      ]);
      return { versioned: Status === 'Enabled', refusesPlainHttp: refusesPlainHttp(policy) };
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchBucket') return undefined;
      throw error;
    }
  }

  async workflow(arn: string): Promise<boolean> {
    const { sfn } = this.#clients;
    if (sfn === undefined)
      throw new Error('the description of the group says of no Step Functions where it is');
    try {
      const { status } = await sfn.send(new DescribeStateMachineCommand({ stateMachineArn: arn }));
      return status === 'ACTIVE';
    } catch (error) {
      if (error instanceof Error && error.name === 'StateMachineDoesNotExist') return false;
      throw error;
    }
  }

  /** How far the Region's clock is ahead of this machine's, ms, to a second; undefined if no answer says its time. */
  async clockAheadMs(table: string, now: () => number): Promise<number | undefined> {
    let aheadMs: number | undefined;
    const command = new DescribeTableCommand({ TableName: table });
    command.middlewareStack.add(
      (next) => async (args) => {
        const sentMs = now();
        const result = await next(args);
        const { headers = {} } = result.response as { headers?: Readonly<Record<string, string>> };
        const at = Date.parse(headers.date ?? '');
        // The header has whole seconds: on average it is half a second old.
        if (!Number.isNaN(at)) aheadMs = at + 500 - (sentMs + now()) / 2;
        return result;
      },
      { step: 'deserialize', priority: 'low' },
    );
    await this.#clients.dynamodb.send(command);
    return aheadMs;
  }

  async #pointInTimeRecovery(name: string): Promise<boolean | undefined> {
    try {
      const { ContinuousBackupsDescription: backups } = await this.#clients.dynamodb.send(
        new DescribeContinuousBackupsCommand({ TableName: name }),
      );
      return backups?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus === 'ENABLED';
    } catch (error) {
      // Servers that are not AWS's may not know what it is.
      if (error instanceof Error && error.name === 'UnknownOperationException') return undefined;
      throw error;
    }
  }
}

function refusesPlainHttp(policy: string): boolean {
  if (policy === '') return false;
  const { Statement = [] } = parsed(policy);
  return [Statement]
    .flat()
    .some(
      ({ Condition, Effect }) =>
        Effect === 'Deny' && `${Condition?.Bool?.['aws:SecureTransport']}` === 'false',
    );
}

type PolicyStatement = {
  readonly Effect?: string;
  readonly Condition?: { readonly Bool?: Readonly<Record<string, unknown>> };
};

function parsed(policy: string): { readonly Statement?: readonly PolicyStatement[] } {
  try {
    return JSON.parse(policy) as { Statement?: readonly PolicyStatement[] };
  } catch (cause) {
    // A server that knows no policies may answer with something else.
    throw new Error('the server answers with no bucket policy, but with something else', { cause });
  }
}
