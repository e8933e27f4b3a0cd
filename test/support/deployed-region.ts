import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import type { Template } from 'aws-cdk-lib/assertions';
import type { Context } from 'aws-lambda';
import { vi } from 'vitest';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { parseGroupId, type RegionId } from '#lib/domain/ids.ts';
import { DynamoDBStreamReader } from '#lib/local/event-source/dynamodb-stream-reader.ts';
import { EventSourceMapping } from '#lib/local/event-source/event-source-mapping.ts';
import { FileCheckpointStore } from '#lib/local/event-source/file-checkpoint-store.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { systemTimer } from '#lib/local/event-source/timer.ts';
import { streamArnOf } from '#lib/local/provision.ts';
import { LocalWorkflow, type Payload } from '#lib/local/workflow/local-workflow.ts';
import { RequestedWorkflow, startRequested, tellStop } from '#lib/local/workflow/requests.ts';
import { settingsOf } from '../constructs/stacks.ts';

const GROUP = 'orders';
const FUNCTIONS: readonly string[] = [
  'capture',
  'relay',
  'apply',
  'sentinel',
  'failover',
  'retention',
  'drill',
];
/** What the schedule invokes, each minute on AWS. */
const TICKED = ['capture', 'relay', 'apply', 'sentinel'];
const TICK_MS = 250;
/** So long may an invocation of capture take here, so that the end of a test need not wait for it. */
const CAPTURE_MS = 8_000;

/** Left once a test is over: less than what any of them keeps in reserve. */
const ENDING_MS = 2_500;

type Invoke = (event: unknown) => Promise<unknown>;
type Deployed = {
  readonly region: RegionId;
  readonly template: Template;
  /** The file that a layer brings. */
  readonly authority: string;
  /** Of all Regions, as this one reaches them. */
  readonly endpoints: Readonly<Record<string, object>>;
  readonly folder: string;
  readonly telemetry: (line: string) => void;
};

/** The functions of a Region as its template has them: each with an environment of its own, as if in a process of its own. */
export class DeployedRegion {
  readonly #deployed: Deployed;
  readonly #functions = new Map<string, Invoke>();
  readonly #sources: EventSourceMapping[] = [];
  readonly #loops: Promise<unknown>[] = [];
  #workflow: LocalWorkflow | undefined;
  #peers: AwsPeers | undefined;
  #isStopped = false;

  constructor(deployed: Deployed) {
    this.#deployed = deployed;
  }

  /** The group as this Region reaches it. */
  get peers(): AwsPeers {
    return this.#peers!;
  }

  settingsOf(name: string): string {
    return settingsOf(this.#deployed.template, `understudy-${GROUP}-${name}`);
  }

  invoke(name: string, event: unknown): Promise<unknown> {
    return this.#functions.get(name)!(event);
  }

  /** Loads the code of all functions, with what the template tells each. */
  async load(): Promise<void> {
    const { telemetry } = this.#deployed;
    for (const { FunctionName, Timeout, VpcConfig } of this.#resources('AWS::Lambda::Function')) {
      const name = String(FunctionName).replace(`understudy-${GROUP}-`, '');
      if (!FUNCTIONS.includes(name)) continue;
      vi.stubEnv('UNDERSTUDY_CONFIG', this.#environmentOf(name, VpcConfig !== undefined));
      vi.stubEnv('UNDERSTUDY_ENDPOINTS', JSON.stringify(this.#endpointsOf(VpcConfig !== undefined)));
      vi.resetModules();
      const { theRuntime, writeTelemetryTo } = await import('#functions/runtime.ts');
      writeTelemetryTo(telemetry);
      const { runFailoversBy } = await import('#functions/workflow.ts');
      runFailoversBy({ start: (input) => this.#workflow!.start(input) });
      const { handler, runDrillsBy } = await import(`../../functions/${name}/handler.ts`);
      runDrillsBy?.((at: RegionId) => this.#requests(at));
      const { peers } = theRuntime();
      if (name === 'sentinel') this.#peers = peers;
      const timeoutMs = Number(Timeout) * 1_000;
      this.#functions.set(name, (event) => {
        const endMs = Date.now() + (name === 'capture' ? Math.min(timeoutMs, CAPTURE_MS) : timeoutMs);
        const getRemainingTimeInMillis = () => (this.#isStopped ? ENDING_MS : endMs - Date.now());
        return handler(event, { getRemainingTimeInMillis } as Context);
      });
    }
  }

  /** Starts what invokes them: the schedule, the event sources, the workflow. */
  async start(): Promise<void> {
    const { folder, region } = this.#deployed;
    for (const name of TICKED.filter((each) => this.#functions.has(each))) {
      this.#loops.push(this.#loop(() => this.invoke(name, { kind: 'tick' })));
    }
    const [machine] = this.#resources('AWS::StepFunctions::StateMachine');
    if (machine === undefined) return;
    await mkdir(folder, { recursive: true });
    this.#workflow = new LocalWorkflow({
      definition: JSON.parse(textOf(machine.DefinitionString)),
      folder,
      invoke: (payload: Payload) => this.invoke('failover', payload),
      onEvent: (event) => void tellStop(this.#table(region), event).catch(() => {}),
    });
    this.#loops.push(this.#loop(() => startRequested(this.#table(region), this.#workflow!)));
    await this.#openSources();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#sources.map((source) => source.stop()));
    await this.#workflow?.stop();
    await Promise.all(this.#loops);
    this.#peers?.destroy();
  }

  async #openSources(): Promise<void> {
    const { folder, region } = this.#deployed;
    const { dynamodb } = this.peers.clients(region);
    const endpoint = (this.#deployed.endpoints[region] as { readonly dynamodb: string }).dynamodb;
    const streamArn = await streamArnOf(dynamodb, `understudy-${GROUP}-log`);
    const client = new DynamoDBStreamsClient({
      region,
      endpoint,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    for (const source of this.#resources('AWS::Lambda::EventSourceMapping')) {
      const name = /^(relay|apply)Function/.exec(String((source.FunctionName as { Ref: string }).Ref))![1]!;
      const { Filters } = source.FilterCriteria as {
        readonly Filters: readonly { readonly Pattern: string }[];
      };
      const patterns = Filters.map(({ Pattern }) => JSON.parse(Pattern));
      const mapping = new EventSourceMapping({
        name,
        streamArn,
        reader: new DynamoDBStreamReader({ client, streamArn, awsRegion: region, onDataLoss: () => {} }),
        invoker: new FunctionInvoker<StreamEvent>({
          functionName: name,
          functionArn: `arn:aws:lambda:${region}:000000000000:function:${name}`,
          handler: (event) => this.invoke(name, event),
          timeoutMs: 60_000,
          timer: systemTimer,
        }),
        checkpoints: new FileCheckpointStore(join(folder, 'checkpoints')),
        timer: systemTimer,
        random: Math.random,
        batchSize: Number(source.BatchSize),
        filter: (record: StreamRecord) => patterns.some((pattern) => matches(pattern, record)),
        onDataLoss: () => {},
      });
      mapping.start();
      this.#sources.push(mapping);
    }
  }

  async #loop(work: () => Promise<unknown>): Promise<void> {
    while (!this.#isStopped) {
      // What fails is invoked again, and is in the log.
      await work().catch((error) => this.#deployed.telemetry(JSON.stringify({ failed: String(error) })));
      await sleep(TICK_MS);
    }
  }

  #table(at: RegionId) {
    const { dynamodb } = this.peers.clients(at);
    return { dynamodb, group: parseGroupId(GROUP), table: `understudy-${GROUP}-control` };
  }

  #requests(at: RegionId): RequestedWorkflow {
    return new RequestedWorkflow(this.#table(at));
  }

  #environmentOf(name: string, isNetworked: boolean): string {
    const config = JSON.parse(this.settingsOf(name));
    const { engine } = config;
    engine.authority = isNetworked ? this.#deployed.authority : '/nowhere/authority.pem';
    return JSON.stringify(config);
  }

  /** Whoever is in no network reaches no database. */
  #endpointsOf(isNetworked: boolean): object {
    const { endpoints } = this.#deployed;
    if (isNetworked) return endpoints;
    const closed = { postgres: 'postgres://understudy@127.0.0.1:1/none', secrets: 'http://127.0.0.1:1' };
    return Object.fromEntries(Object.entries(endpoints).map(([at, each]) => [at, { ...each, ...closed }]));
  }

  #resources(type: string): readonly Readonly<Record<string, unknown>>[] {
    return Object.values(this.#deployed.template.findResources(type)).map(({ Properties }) => Properties);
  }
}

/** A text of a template, with a name for what is known only once it is deployed. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  const [separator, parts] = (value as { 'Fn::Join': [string, readonly unknown[]] })['Fn::Join'];
  const known = (part: unknown) =>
    (part as { Ref?: string }).Ref === 'AWS::Partition'
      ? 'aws'
      : 'arn:aws:lambda:local:000000000000:function:failover';
  return parts.map((part) => (typeof part === 'string' ? part : known(part))).join(separator);
}

/** As Lambda filters events: a list of values or of prefixes for each field. */
function matches(pattern: unknown, value: unknown): boolean {
  if (Array.isArray(pattern)) {
    return pattern.some((each) =>
      typeof each === 'string' ? each === value : typeof value === 'string' && value.startsWith(each.prefix),
    );
  }
  return Object.entries(pattern as object).every(([name, each]) =>
    matches(each, (value as Record<string, unknown> | undefined)?.[name]),
  );
}
