import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { Route53Client } from '@aws-sdk/client-route-53';
import { S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { bucketName } from '#lib/constructs/bucket-name.ts';
import { resourceName, tableNames, workflowName } from '#lib/constructs/names.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { runCommand } from './command.ts';
import type { Guard } from './emulator/guard.ts';
import { leaveOutUnknown } from './foreign/unknown-types.ts';
import type { Report } from './report.ts';
import type { Target } from './target.ts';

/** Before a request to a Region that hangs is given up, ms. */
const REQUEST_MS = 5_000;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Who answers for its drills. */
export const APPROVED_BY = 'the end-to-end run';

/** The group that a run deploys: its names, the commands that act on it, and clients of every Region's services. */
export class Group {
  readonly target: Target;
  readonly report: Report;
  /** Goes when the run ends. */
  readonly folder: string;
  /** Stays: logs and the report. */
  readonly out: string;
  readonly id: string;
  readonly table: string;
  /** Part of every key and of every value that the run writes: row data is known by it wherever it turns up. */
  readonly secret = randomBytes(9).toString('hex');
  readonly zoneName: string;
  zoneId = '';
  /** Regions by now: the procedures of a living group change them. */
  regions: readonly string[];
  /** Regions that were removed: what their stacks retained is there still. */
  readonly removed: string[] = [];
  /** That, as the inventory calls it. */
  readonly retained: string[] = [];
  /** Of the clients' record: the setting that an update changes. */
  ttlSeconds = 5;
  /** Of its drills; a day that no run sees, until a drill is wanted. */
  schedule = 'cron(0 0 1 1 ? 2099)';
  /** The longest that a deployment of all its stacks has taken so far, synthesis included. */
  deployMs = 0;
  /** Where each config was synthesized: a run comes back to some. */
  readonly #assemblies = new Map<string, string>();
  #leftOut: readonly string[] = [];
  readonly #guard: Guard;
  readonly #clients = new Map<string, { destroy(): void }>();

  constructor(options: {
    target: Target;
    report: Report;
    guard: Guard;
    folder: string;
    out: string;
    id: string;
  }) {
    this.target = options.target;
    this.report = options.report;
    this.folder = options.folder;
    this.out = options.out;
    this.id = options.id;
    this.table = `understudy-${options.id}-orders`;
    this.zoneName = `${options.id}.understudy.test`;
    this.regions = options.target.regions;
    this.#guard = options.guard;
  }

  get recordName(): string {
    return `orders.${this.zoneName}`;
  }

  /** What the record names while a Region leads: the Region comes first, as the client library expects. */
  endpointOf(region: string): string {
    return `${region}.${this.zoneName}`;
  }

  /** A partition key of the run's rows. */
  partition(name: string): string {
    return `${name}-${this.secret}`;
  }

  get logTable(): string {
    return tableNames(parseGroupId(this.id)).log;
  }

  get controlTable(): string {
    return tableNames(parseGroupId(this.id)).control;
  }

  bucketOf(region: string): string {
    return bucketName(parseGroupId(this.id), this.target.account, parseRegionId(region));
  }

  nameOf(part: string): string {
    return resourceName(parseGroupId(this.id), part);
  }

  workflowOf(region: string): string {
    return `arn:aws:states:${region}:${this.target.account}:stateMachine:${workflowName(parseGroupId(this.id))}`;
  }

  /** Folder of the templates that the group is deployed by now. */
  get assembly(): string {
    return this.#assemblies.get(this.#config()) ?? join(this.folder, `cdk.out.${this.#assemblies.size}`);
  }

  /** Runs the CDK's command line on the project's own app. */
  async cdk(args: readonly string[]): Promise<void> {
    await this.synthesize();
    await this.#runCdk([...args, '--app', this.assembly], ROOT);
  }

  /** Makes the templates, unless the config is one that has been synthesized before. */
  async synthesize(): Promise<void> {
    const config = this.#config();
    if (this.#assemblies.has(config)) return;
    const output = this.assembly;
    const file = join(this.folder, 'understudy.config.json');
    await writeFile(file, config);
    const app = `${process.execPath} ${join(ROOT, 'bin/app.ts')}`;
    // The source stays as it is: the functions are bundled for the first config, and are the same in all.
    const context = [`config=${file}`, `bundles=${join(this.folder, 'bundles')}`];
    const synth = ['synth', '--quiet', '--app', app, '--output', output];
    await this.#runCdk([...synth, ...context.flatMap((each) => ['--context', each])], ROOT);
    if (this.target.foreign !== undefined) this.#leftOut = await leaveOutUnknown(this, output);
    this.#assemblies.set(config, output);
  }

  /** Types of resources that the cloud does not know, and that were not deployed. */
  get leftOut(): readonly string[] {
    return this.#leftOut;
  }

  /** Makes the stacks that the CDK itself needs in each Region. */
  async bootstrap(regions = this.regions): Promise<void> {
    const places = regions.map((region) => `aws://${this.target.account}/${region}`);
    // Away from the project: nothing is to be synthesized.
    await this.#runCdk(['bootstrap', ...places], this.folder);
  }

  /** Runs a command of the project's command line with --json; answers the objects that it prints. */
  async understudy(args: readonly string[], expect: readonly number[] = [0]): Promise<readonly unknown[]> {
    const { stdout } = await runCommand(
      this.#guard,
      [join(ROOT, 'bin/understudy.ts'), ...args, '--json', '--group', `${this.id}@${this.regions}`],
      { cwd: ROOT, env: this.target.env, log: join(this.out, 'understudy.log'), expect },
    );
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('{') || line.startsWith('['))
      .map((line) => JSON.parse(line) as unknown);
  }

  dynamodb(region: string): DynamoDBClient {
    return this.#client('dynamodb', region, () => new DynamoDBClient(common(region)));
  }

  s3(region: string): S3Client {
    return this.#client('s3', region, () => new S3Client(common(region)));
  }

  sfn(region: string): SFNClient {
    return this.#client('sfn', region, () => new SFNClient(common(region)));
  }

  cloudwatch(region: string): CloudWatchClient {
    return this.#client('cloudwatch', region, () => new CloudWatchClient(common(region)));
  }

  lambda(region: string): LambdaClient {
    return this.#client('lambda', region, () => new LambdaClient(common(region)));
  }

  route53(): Route53Client {
    return this.#client('route53', 'us-east-1', () => new Route53Client(common('us-east-1')));
  }

  /** The same group for somebody else, whose programs another guard starts. */
  handedTo(guard: Guard, folder: string): Group {
    const { id, out, report } = this;
    const target = { ...this.target, env: { ...this.target.env, HOME: folder } };
    const group = new Group({ target, report, guard, folder, out, id });
    group.regions = this.regions;
    group.removed.push(...this.removed);
    group.zoneId = this.zoneId;
    return group;
  }

  close(): void {
    for (const client of this.#clients.values()) client.destroy();
  }

  /** The app's config file. */
  #config(): string {
    return JSON.stringify({
      group: this.id,
      table: this.table,
      key: [
        { name: 'pk', type: 'S' },
        { name: 'sk', type: 'S' },
      ],
      regions: this.regions.map((name) => ({ name })),
      account: this.target.account,
      failover: {
        profile: 'balanced',
        record: { zoneId: this.zoneId, name: this.recordName, ttlSeconds: this.ttlSeconds },
        targets: Object.fromEntries(this.regions.map((name) => [name, this.endpointOf(name)])),
      },
      // An emulator of somebody else's may know no schedules.
      ...(this.target.foreign === undefined && {
        drill: { schedule: this.schedule, approvedBy: APPROVED_BY },
      }),
    });
  }

  async #runCdk(args: readonly string[], cwd: string): Promise<void> {
    const env = { ...this.target.env, CDK_DEFAULT_ACCOUNT: this.target.account };
    const command = [join(ROOT, 'node_modules/aws-cdk/bin/cdk'), ...args, '--no-color'];
    await runCommand(this.#guard, command, { cwd, env, log: join(this.out, 'cdk.log') });
  }

  #client<T extends { destroy(): void }>(service: string, region: string, make: () => T): T {
    const key = `${service} ${region}`;
    const client = (this.#clients.get(key) as T | undefined) ?? make();
    this.#clients.set(key, client);
    return client;
  }
}

function common(region: string) {
  return {
    region,
    maxAttempts: 2,
    requestHandler: { requestTimeout: REQUEST_MS, throwOnRequestTimeout: true },
  };
}
