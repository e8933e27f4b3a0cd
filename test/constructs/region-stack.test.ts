import { Match, type Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { FUNCTIONS } from '#lib/constructs/names.ts';
import { ACCOUNT, appOf, fileOf, permissionsOf, QUEUE_URL, settingsOf } from './stacks.ts';

const REGIONS = ['ap-southeast-2', 'eu-west-1', 'us-east-1'];
/** Of a group with a witness. */
const WITNESSED = ['eu-central-1', 'eu-west-1', 'us-east-1'];
const [LOG, CONTROL, DATA] = ['understudy-orders-log', 'understudy-orders-control', 'orders-data'];
/** What every function may do for its log and traces. */
const logs = (name: string) => ({
  'logs:CreateLogStream': [`${name}Logs.Arn`],
  'logs:PutLogEvents': [`${name}Logs.Arn`],
  'xray:PutTelemetryRecords': ['*'],
  'xray:PutTraceSegments': ['*'],
});

let app: ReturnType<typeof appOf>['app'];
let eu: Template;
let us: Template;

beforeAll(() => {
  const built = appOf(fileOf());
  app = built.app;
  eu = built.templates[0]!;
  us = built.templates[1]!;
});

/** A template with its settings parsed, with two Region names swapped if given, and with lists in no order. */
function normalized(template: Template, swap: readonly string[] = []): unknown {
  const json = structuredClone(template.toJSON());
  for (const { Properties } of Object.values<Resource>(json.Resources)) {
    const variables = Properties?.Environment?.Variables;
    if (variables) variables.UNDERSTUDY_CONFIG = JSON.parse(settingsOf(template, Properties.FunctionName!));
    // A hash of the rest.
    delete Properties?.template;
  }
  const parts = JSON.stringify(json).split(new RegExp(`(${swap.join('|')})`));
  const text = parts
    .map((part) => (swap.includes(part) ? swap.find((name) => name !== part) : part))
    .join('');
  return unordered(JSON.parse(text));
}

type Resource = {
  Properties?: {
    FunctionName?: string;
    template?: string;
    Environment?: { Variables: { UNDERSTUDY_CONFIG: unknown } };
  };
};

function unordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(unordered).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, each]) => [key, unordered(each)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

describe('a stack', () => {
  it('is that of any other Region but for the Region names', () => {
    expect(normalized(eu, ['eu-west-1', 'us-east-1'])).toEqual(normalized(us));
  });

  it('refers to nothing of another stack', () => {
    for (const template of [eu, us]) {
      expect(JSON.stringify(template.toJSON())).not.toMatch(/Fn::ImportValue|Fn::GetStackOutput/);
    }
  });

  it('passes the AWS Solutions checks', () => {
    expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
  });
});

describe('tables and bucket', () => {
  const SAFE = {
    BillingMode: 'PAY_PER_REQUEST',
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    DeletionProtectionEnabled: true,
  };

  it.each([
    [
      'understudy-orders-log',
      [
        { AttributeName: 'lane', KeyType: 'HASH' },
        { AttributeName: 'at', KeyType: 'RANGE' },
      ],
      { StreamViewType: 'KEYS_ONLY' },
    ],
    ['understudy-orders-control', [{ AttributeName: 'id', KeyType: 'HASH' }], Match.absent()],
    [
      'orders-data',
      [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      { StreamViewType: 'NEW_AND_OLD_IMAGES' },
    ],
  ])('%s has its keys and stream, and outlives the stack', (TableName, KeySchema, StreamSpecification) => {
    eu.hasResource('AWS::DynamoDB::Table', {
      Properties: { ...SAFE, TableName, KeySchema, StreamSpecification },
      DeletionPolicy: 'Retain',
      UpdateReplacePolicy: 'Retain',
    });
  });

  it('takes the types of the key from the config', () => {
    eu.hasResourceProperties('AWS::DynamoDB::Table', {
      TableName: 'orders-data',
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'N' },
      ],
    });
  });

  it('keeps segments private, encrypted, and when the stack goes', () => {
    eu.hasResource('AWS::S3::Bucket', {
      Properties: {
        BucketName: 'understudy-orders-111122223333-eu-west-1',
        BucketEncryption: {
          ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
        VersioningConfiguration: Match.absent(),
      },
      DeletionPolicy: 'Retain',
    });
    eu.hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
        ]),
      },
    });
  });

  it('keeps failures for 14 days, encrypted', () => {
    eu.hasResourceProperties('AWS::SQS::Queue', {
      QueueName: 'understudy-orders-failures',
      SqsManagedSseEnabled: true,
      MessageRetentionPeriod: 14 * 24 * 3600,
    });
  });
});

describe('functions', () => {
  it.each(FUNCTIONS)('%s runs on arm64, is traced, and logs for 30 days', (name) => {
    eu.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: `understudy-orders-${name}`,
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      TracingConfig: { Mode: 'Active' },
      ReservedConcurrentExecutions: Match.absent(),
    });
    eu.hasResourceProperties('AWS::Logs::LogGroup', {
      LogGroupName: `/aws/lambda/understudy-orders-${name}`,
      RetentionInDays: 30,
    });
  });

  it.each(FUNCTIONS)('%s is told what the runtime reads', (name) => {
    const config = readConfig({
      UNDERSTUDY_CONFIG: settingsOf(eu, `understudy-orders-${name}`),
    });
    expect(config).toMatchObject({
      group: 'orders',
      region: 'eu-west-1',
      engine: { kind: 'dynamodb', table: 'orders-data' },
      logTable: 'understudy-orders-log',
      controlTable: 'understudy-orders-control',
      buckets: Object.fromEntries(REGIONS.map((name) => [name, `understudy-orders-${ACCOUNT}-${name}`])),
      failover: {
        profile: 'balanced',
        record: { zoneId: 'Z0123456789', name: 'orders.example.com', ttlSeconds: 10 },
        targets: { 'us-east-1': 'us-east-1.example.com' },
      },
    });
  });

  it('knows of the queue and of the workflow only where it may use them', () => {
    const config = (name: string) =>
      readConfig({ UNDERSTUDY_CONFIG: settingsOf(eu, `understudy-orders-${name}`) });
    const workflow = `arn:aws:states:eu-west-1:${ACCOUNT}:stateMachine:understudy-orders-failover`;
    for (const name of FUNCTIONS) {
      const { failureQueueUrl, failover } = config(name);
      expect(failureQueueUrl, name).toBe(name === 'capture' ? QUEUE_URL : undefined);
      expect(failover.stateMachineArn, name).toBe(name === 'sentinel' ? workflow : undefined);
    }
  });

  it('feeds capture with the changes of the table, shard by shard, without giving any up early', () => {
    eu.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      EventSourceArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^StoreTable'), 'StreamArn'] },
      FunctionName: { Ref: Match.stringLikeRegexp('^captureFunction') },
      StartingPosition: 'TRIM_HORIZON',
      BatchSize: 1000,
      ParallelizationFactor: 1,
      TumblingWindowInSeconds: 900,
      BisectBatchOnFunctionError: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      DestinationConfig: {
        OnFailure: { Destination: { 'Fn::GetAtt': [Match.stringLikeRegexp('^FailuresQueue'), 'Arn'] } },
      },
      MaximumRetryAttempts: Match.absent(),
      MaximumRecordAgeInSeconds: Match.absent(),
      MaximumBatchingWindowInSeconds: Match.absent(),
    });
  });

  it.each(['relay', 'apply'])('feeds %s with new entries only', (name) => {
    eu.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      EventSourceArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^LogTable'), 'StreamArn'] },
      FunctionName: { Ref: Match.stringLikeRegexp(`^${name}Function`) },
      BatchSize: 100,
      MaximumRetryAttempts: Match.absent(),
      FilterCriteria: {
        Filters: [
          {
            Pattern: Match.serializedJson({
              eventName: ['INSERT'],
              dynamodb: { Keys: { at: { S: [{ prefix: 'entry#' }] } } },
            }),
          },
        ],
      },
    });
  });

  it('gives the stream of the log no third reader, and that of the table no second', () => {
    eu.resourceCountIs('AWS::Lambda::EventSourceMapping', 3);
  });

  it('ticks relay, apply and sentinel every minute, retention every day, each tick once', () => {
    const target = (name: string) =>
      Match.objectLike({
        Arn: { 'Fn::GetAtt': [Match.stringLikeRegexp(`^${name}Function`), 'Arn'] },
        Input: '{"kind":"tick"}',
      });
    eu.hasResourceProperties('AWS::Events::Rule', {
      ScheduleExpression: 'rate(1 minute)',
      Targets: [target('relay'), target('apply'), target('sentinel')],
    });
    eu.hasResourceProperties('AWS::Events::Rule', {
      ScheduleExpression: 'rate(1 day)',
      Targets: [target('retention')],
    });
    eu.resourceCountIs('AWS::Lambda::Permission', 4);
    eu.allResourcesProperties('AWS::Lambda::EventInvokeConfig', { MaximumRetryAttempts: 0 });
    eu.resourceCountIs('AWS::Lambda::EventInvokeConfig', 4);
  });
});

describe('permissions', () => {
  const probeIn = (region: string) => `arn:aws:lambda:${region}:${ACCOUNT}:function:understudy-orders-probe`;
  const everywhere = (table: string) => REGIONS.map((region) => `${region} ${table}`);
  const buckets = (suffix: string) =>
    REGIONS.map((region) => `understudy-orders-${ACCOUNT}-${region}${suffix}`);
  const [HERE_LOG, HERE_CONTROL, HERE_DATA] = [
    `eu-west-1 ${LOG}`,
    `eu-west-1 ${CONTROL}`,
    `eu-west-1 ${DATA}`,
  ];
  const HERE_BUCKET = `understudy-orders-${ACCOUNT}-eu-west-1`;
  const HERE_DIVERGENT = `${HERE_BUCKET}/_divergence/orders/*`;
  const reads = (stream: string, table: string) => ({
    'dynamodb:DescribeStream': [stream],
    'dynamodb:GetRecords': [stream],
    'dynamodb:GetShardIterator': [stream],
    'dynamodb:ListStreams': [`eu-west-1 ${table}/stream/*`],
  });

  it('lets capture append here, and nothing more', () => {
    expect(permissionsOf(eu, 'capture')).toEqual({
      ...logs('capture'),
      ...reads('StoreTable.StreamArn', DATA),
      'dynamodb:GetItem': [HERE_CONTROL, HERE_LOG],
      'dynamodb:Query': [HERE_LOG],
      'dynamodb:PutItem': [HERE_LOG],
      'dynamodb:UpdateItem': [HERE_CONTROL, HERE_LOG],
      's3:PutObject': [HERE_DIVERGENT, `${HERE_BUCKET}/orders/*`],
      'sqs:SendMessage': ['FailuresQueue.Arn'],
    });
  });

  it('lets relay carry the log between any two Regions, and nothing more', () => {
    expect(permissionsOf(eu, 'relay')).toEqual({
      ...logs('relay'),
      ...reads('LogTable.StreamArn', LOG),
      'dynamodb:GetItem': [...everywhere(LOG), HERE_CONTROL].sort(),
      'dynamodb:Query': everywhere(LOG),
      'dynamodb:PutItem': everywhere(LOG),
      'dynamodb:UpdateItem': everywhere(LOG),
      'dynamodb:DeleteItem': [HERE_LOG],
      'dynamodb:ConditionCheckItem': [HERE_LOG],
      's3:GetObject': buckets('/orders/*'),
      's3:PutObject': buckets('/orders/*'),
      's3:ListBucket': buckets(''),
    });
  });

  it('lets apply write the store here and copy that of another Region, and nothing more', () => {
    expect(permissionsOf(eu, 'apply')).toEqual({
      ...logs('apply'),
      ...reads('LogTable.StreamArn', LOG),
      'dynamodb:GetItem': [...everywhere(LOG), ...everywhere(DATA), HERE_CONTROL].sort(),
      'dynamodb:Query': everywhere(LOG),
      'dynamodb:PutItem': [HERE_DATA],
      'dynamodb:UpdateItem': [HERE_DATA, HERE_CONTROL],
      'dynamodb:DeleteItem': [HERE_DATA],
      'dynamodb:ConditionCheckItem': [HERE_DATA, HERE_CONTROL],
      'dynamodb:Scan': everywhere(DATA),
      'dynamodb:DescribeTable': everywhere(DATA),
      's3:GetObject': [`${HERE_BUCKET}/orders/*`],
      's3:ListBucket': [HERE_BUCKET],
    });
  });

  it('lets sentinel beat and vote everywhere, take back what is here, start the failover, and nothing more', () => {
    expect(permissionsOf(eu, 'sentinel')).toEqual({
      ...logs('sentinel'),
      'dynamodb:GetItem': [...everywhere(LOG), ...everywhere(CONTROL)].sort(),
      'dynamodb:Query': everywhere(LOG),
      'dynamodb:PutItem': [...everywhere(DATA), HERE_LOG].sort(),
      'dynamodb:UpdateItem': [...everywhere(CONTROL), HERE_DATA, HERE_LOG].sort(),
      'dynamodb:DeleteItem': [HERE_DATA, HERE_LOG],
      'dynamodb:ConditionCheckItem': [HERE_DATA, HERE_CONTROL, HERE_LOG],
      'dynamodb:DescribeTable': [HERE_DATA],
      's3:GetObject': [HERE_DIVERGENT, `${HERE_BUCKET}/orders/*`],
      's3:PutObject': [HERE_DIVERGENT],
      's3:ListBucket': [HERE_BUCKET],
      'states:StartExecution': ['eu-west-1 understudy-orders-failover'],
      'dynamodb:GetResourcePolicy': [HERE_DATA],
      'dynamodb:PutResourcePolicy': [HERE_DATA],
      'dynamodb:DeleteResourcePolicy': [HERE_DATA],
      'lambda:InvokeFunction': [probeIn('eu-west-1')],
      'route53:ListResourceRecordSets': ['hostedzone/Z0123456789'],
      'route53:ChangeResourceRecordSets': ['hostedzone/Z0123456789'],
    });
  });

  it('lets retention, and nobody else, delete segments: those of the log here, and nothing that has diverged', () => {
    expect(permissionsOf(eu, 'retention')).toEqual({
      ...logs('retention'),
      'dynamodb:GetItem': [...everywhere(LOG), ...everywhere(CONTROL)].sort(),
      'dynamodb:Query': [HERE_LOG],
      'dynamodb:UpdateItem': [HERE_LOG],
      'dynamodb:DeleteItem': [HERE_LOG],
      'dynamodb:ConditionCheckItem': [HERE_LOG],
      's3:DeleteObject': [`${HERE_BUCKET}/orders/*`],
      's3:ListBucket': [HERE_BUCKET],
    });
    for (const name of FUNCTIONS.filter((each) => each !== 'retention')) {
      expect(Object.keys(permissionsOf(eu, name)).join(), name).not.toContain('s3:Delete');
    }
  });

  it('keeps no object by a lifecycle rule, and lets none go', () => {
    eu.allResourcesProperties('AWS::S3::Bucket', { LifecycleConfiguration: Match.absent() });
  });

  it('lets probe try a write here as an application would, and nothing more', () => {
    expect(permissionsOf(eu, 'probe')).toEqual({ ...logs('probe'), 'dynamodb:PutItem': [HERE_DATA] });
  });

  it("names to the fence the roles that write in every Region's table, and not that of probe", () => {
    const { failover } = readConfig({ UNDERSTUDY_CONFIG: settingsOf(eu, 'understudy-orders-failover') });
    const roles = failover.fence!.exempt.map((arn) =>
      arn.replace(`arn:aws:iam::${ACCOUNT}:role/understudy-orders-`, ''),
    );
    expect(roles.toSorted()).toEqual(
      ['apply', 'failover', 'sentinel'].flatMap((fn) => REGIONS.map((region) => `${fn}-${region}`)),
    );
    for (const fn of ['apply', 'failover', 'sentinel', 'probe']) {
      eu.hasResourceProperties('AWS::IAM::Role', { RoleName: `understudy-orders-${fn}-eu-west-1` });
    }
  });

  const FAILOVER = {
    'dynamodb:GetResourcePolicy': everywhere(DATA),
    'dynamodb:PutResourcePolicy': everywhere(DATA),
    'lambda:InvokeFunction': REGIONS.map(probeIn),
    ...logs('failover'),
    'cloudwatch:DescribeAlarms': REGIONS.flatMap((region) =>
      ['applied-lag', 'durable-lag'].map((alarm) => `${region} understudy-orders-${alarm}`),
    ),
    'dynamodb:GetItem': [...everywhere(LOG), ...everywhere(CONTROL), ...everywhere(DATA)].sort(),
    'dynamodb:PutItem': [...everywhere(LOG), ...everywhere(DATA)].sort(),
    'dynamodb:UpdateItem': [...everywhere(LOG), ...everywhere(CONTROL), ...everywhere(DATA)].sort(),
    'dynamodb:ConditionCheckItem': [...everywhere(CONTROL), ...everywhere(DATA)].sort(),
    'dynamodb:Query': everywhere(LOG),
    'dynamodb:DeleteItem': everywhere(DATA),
    'dynamodb:Scan': everywhere(DATA),
    'dynamodb:DescribeTable': everywhere(DATA),
    'dynamodb:BatchWriteItem': [HERE_DATA],
    'dynamodb:DescribeStream': ['StoreTable.StreamArn'],
    's3:GetObject': buckets('/orders/*'),
    's3:PutObject': buckets('/orders/*'),
    's3:ListBucket': buckets(''),
  };

  it("lets failover act on the group in every Region and on its zone's records, and nothing more", () => {
    expect(permissionsOf(eu, 'failover')).toEqual({
      ...FAILOVER,
      'route53:ListResourceRecordSets': ['hostedzone/Z0123456789'],
      'route53:ChangeResourceRecordSets': ['hostedzone/Z0123456789'],
      'route53:GetChange': ['change/*'],
    });
  });

  it("lets failover call the user's hooks, where the group has some", () => {
    const hook = `arn:aws:lambda:us-east-1:${ACCOUNT}:function:stop-hosts`;
    const hostFence = { functions: { 'eu-west-1': hook } };
    const [template] = appOf(fileOf({ failover: { profile: 'fast', hostFence } })).templates;
    expect(permissionsOf(template!, 'failover')['lambda:InvokeFunction']).toEqual(
      [...REGIONS.map(probeIn), hook].sort(),
    );
    const { failover } = readConfig({
      UNDERSTUDY_CONFIG: settingsOf(template!, 'understudy-orders-failover'),
    });
    expect(failover.hostFence).toEqual({ ...hostFence, timeoutSeconds: 3 });
  });

  it('lets failover touch no DNS where the group has no record', () => {
    const [template] = appOf(fileOf({ failover: { profile: 'fast' } })).templates;
    expect(permissionsOf(template!, 'failover')).toEqual(FAILOVER);
  });
});

describe('the stack of a witness', () => {
  const build = () => {
    const built = appOf(
      fileOf({
        regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
        witnesses: ['eu-central-1'],
        failover: { profile: 'fast' },
      }),
    );
    return { ...built, witness: built.templates[2]! };
  };

  it('holds the control table and the sentinel, and no data, log or workflow', () => {
    const { app, witness } = build();
    const tables = Object.values(witness.findResources('AWS::DynamoDB::Table'));
    expect(tables.map(({ Properties }) => Properties.TableName)).toEqual(['understudy-orders-control']);
    const functions = Object.values(witness.findResources('AWS::Lambda::Function'));
    expect(functions.map(({ Properties }) => Properties.FunctionName).sort()).toEqual([
      'understudy-orders-deploy-check',
      'understudy-orders-sentinel',
    ]);
    for (const type of ['AWS::S3::Bucket', 'AWS::SQS::Queue', 'AWS::StepFunctions::StateMachine']) {
      witness.resourceCountIs(type, 0);
    }
    witness.resourceCountIs('AWS::Events::Rule', 1);
    expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
  });

  it('lets its sentinel vote everywhere and try the write path of every replica, and nothing more', () => {
    expect(permissionsOf(build().witness, 'sentinel')).toEqual({
      ...logs('sentinel'),
      'dynamodb:GetItem': WITNESSED.map((name) => `${name} ${CONTROL}`),
      'dynamodb:UpdateItem': WITNESSED.map((name) => `${name} ${CONTROL}`),
      'dynamodb:PutItem': ['eu-west-1', 'us-east-1'].map((name) => `${name} ${DATA}`),
    });
  });

  it('tells its sentinel of all, and lets the replicas act on its control table', () => {
    const { templates, witness } = build();
    const config = readConfig({ UNDERSTUDY_CONFIG: settingsOf(witness, 'understudy-orders-sentinel') });
    expect(config).toMatchObject({ region: 'eu-central-1', witnesses: ['eu-central-1'] });
    expect(config.failureQueueUrl).toBeUndefined();
    const { 'dynamodb:UpdateItem': may } = permissionsOf(templates[0]!, 'failover');
    expect(may).toContain(`eu-central-1 ${CONTROL}`);
    expect(may).not.toContain(`eu-central-1 ${LOG}`);
  });
});
