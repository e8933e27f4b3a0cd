import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  DeleteUserCommand,
  DeleteUserPolicyCommand,
  IAMClient,
  PutUserPolicyCommand,
} from '@aws-sdk/client-iam';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import type { Group } from '../group.ts';

/** What has to be refused is: without that, all that follows would prove nothing of the grants. */
export async function security(group: Group): Promise<void> {
  const { report, target } = group;
  const { plainEndpoint } = target;
  if (plainEndpoint === undefined) return;
  report.begin('security');
  const [region] = group.regions as [string];
  const iam = new IAMClient({ region: 'us-east-1' });
  const UserName = `${group.id}-nobody`;
  await iam.send(new CreateUserCommand({ UserName }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
  const accessKeyId = AccessKey!.AccessKeyId!;
  const readAs = async (secretAccessKey: string, at: string) => {
    const credentials = { accessKeyId, secretAccessKey };
    const dynamodb = new DynamoDBClient({ region: at, credentials, maxAttempts: 1 });
    const Key = { pk: { S: 'x' }, sk: { S: 'x' } };
    await dynamodb
      .send(new GetItemCommand({ TableName: group.table, Key }))
      .finally(() => dynamodb.destroy());
  };
  await report.check('a user without permissions reads nothing, in any Region', async () => {
    for (const each of group.regions) {
      await refused('AccessDeniedException', () => readAs(AccessKey!.SecretAccessKey!, each));
    }
    return group.regions.join(', ');
  });
  await report.check('a forged signature is refused', () =>
    refused('InvalidSignatureException', () => readAs('forged', region)),
  );
  const policy = { UserName, PolicyName: 'all-of-s3' };
  const Statement = [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }];
  const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement });
  await iam.send(new PutUserPolicyCommand({ ...policy, PolicyDocument }));
  await report.check('who may do all with S3 lists the bucket by TLS, and not without', async () => {
    const credentials = { accessKeyId, secretAccessKey: AccessKey!.SecretAccessKey! };
    const list = async (endpoint?: string) => {
      const s3 = new S3Client({ region, credentials, maxAttempts: 1, ...(endpoint && { endpoint }) });
      const command = new ListObjectsV2Command({ Bucket: group.bucketOf(region) });
      await s3.send(command).finally(() => s3.destroy());
    };
    await list();
    return refused('AccessDenied', () => list(plainEndpoint(region)));
  });
  await iam.send(new DeleteUserPolicyCommand(policy));
  await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId: accessKeyId }));
  await iam.send(new DeleteUserCommand({ UserName }));
  iam.destroy();
}

async function refused(name: string, send: () => Promise<unknown>): Promise<string> {
  try {
    await send();
  } catch (error) {
    if ((error as Error).name === name) return name;
    throw error;
  }
  throw new Error('it was allowed');
}
