import { StateMachine, type StateMachineDefinition } from 'aws-local-stepfunctions';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { type RunEvent, RunHistory } from '#lib/local/workflow/run-history.ts';
import type { Workflow } from '#lib/ports/sentinel-ports.ts';

/** A call of the failover function, as its handler takes it. */
export type Payload = { readonly step: string; readonly state: unknown; readonly token?: string };

export type LocalWorkflowOptions = {
  readonly definition: StateMachineDefinition;
  /** Calls the failover function; rejects as it fails. */
  readonly invoke: (payload: Payload) => Promise<unknown>;
  /** Where the runs are kept. */
  readonly folder: string;
  readonly onEvent?: (event: RunEvent) => void;
  /** How long each wait and each pause before a retry takes, in the stead of what the definition says. */
  readonly pauseMs?: number;
};

export type RunEnd = RunEvent & { readonly kind: 'succeeded' | 'failed' };

type EventLog = ReturnType<StateMachine['run']>['eventLogs'] extends AsyncIterable<infer E> ? E : never;
type Task = { readonly step: string; readonly waits: boolean };
type Running = { readonly ended: Promise<RunEnd | undefined>; readonly abort: () => void };

/** How often the function is asked whether a person has approved, ms. */
const APPROVAL_POLL_MS = 500;

/**
 * Step Functions for the one workflow of a Region: runs its definition state by state, in real time. A name is used
 * once, for good; a run that this process does not end, the next one resumes. Never calls AWS.
 */
export class LocalWorkflow implements Workflow {
  readonly #options: LocalWorkflowOptions;
  readonly #history: RunHistory;
  readonly #machine: StateMachine;
  readonly #tasks: ReadonlyMap<string, Task>;
  readonly #running = new Map<string, Running>();
  readonly #stop = Promise.withResolvers<never>();
  #stopped = false;

  constructor(options: LocalWorkflowOptions) {
    this.#options = options;
    this.#history = new RunHistory(options.folder);
    // What `cdk synth` writes has been looked over when it was built: to do so again takes over a second of processor time.
    this.#machine = new StateMachine(options.definition, { validationOptions: { noValidate: true } });
    this.#tasks = tasksOf(options.definition);
    this.#stop.promise.catch(() => {});
  }

  async start(input: FailoverInput): Promise<'started' | 'exists'> {
    const event = { kind: 'started', run: input.run, atMs: Date.now(), input } as const;
    if (!this.#history.begin(event)) return 'exists';
    this.#options.onEvent?.(event);
    this.#begin(input);
    return 'started';
  }

  /** Begins anew what a former process was cut off in: every step may be made again. Returns the runs' names. */
  resume(): readonly string[] {
    return this.#history.runs().filter((run) => {
      const [first, ...rest] = this.#history.of(run);
      const over = rest.some(({ kind }) => kind === 'succeeded' || kind === 'failed');
      if (over || first?.kind !== 'started' || this.#running.has(run)) return false;
      this.#note({ kind: 'resumed', run, atMs: Date.now(), input: first.input });
      this.#begin(first.input);
      return true;
    });
  }

  /** All that happened to a run, by this process and former ones. */
  eventsOf(run: string): readonly RunEvent[] {
    return this.#history.of(run);
  }

  /** The end of a run that this process has begun; undefined if it was stopped before. */
  async ended(run: string): Promise<RunEnd | undefined> {
    return this.#running.get(run)?.ended;
  }

  /** Breaks all runs off, so that they can be resumed. What a call that is under way does later is not looked at. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stop.reject(new Error('the workflow was stopped'));
    for (const { abort } of this.#running.values()) abort();
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  #begin(input: FailoverInput): void {
    const { run } = input;
    const { pauseMs } = this.#options;
    const states = Object.entries(this.#options.definition.States);
    const pauses = (type: string) =>
      pauseMs === undefined
        ? {}
        : Object.fromEntries(states.filter(([, { Type }]) => Type === type).map(([name]) => [name, pauseMs]));
    const execution = this.#machine.run(
      // As it is sent to Step Functions.
      JSON.parse(JSON.stringify(input)),
      {
        noThrowOnAbort: true,
        context: { Execution: { Name: run }, Task: { Token: `local:${run}` } },
        overrides: {
          taskResourceLocalHandlers: Object.fromEntries(
            [...this.#tasks].map(([name, task]) => [name, (given) => this.#call(task, given)]),
          ),
          waitTimeOverrides: pauses('Wait'),
          retryIntervalOverrides: pauses('Task'),
        },
      },
    );
    execution.result.catch(() => {});
    this.#running.set(run, { abort: execution.abort, ended: this.#follow(run, execution.eventLogs) });
  }

  async #call({ waits }: Task, given: unknown): Promise<Json> {
    const payload = waits ? (given as { Payload: Payload }).Payload : (given as Payload);
    for (;;) {
      const answer = await Promise.race([this.#options.invoke(payload), this.#stop.promise]);
      // As it comes back from Lambda.
      const result = JSON.parse(JSON.stringify(answer ?? null));
      if (!waits || result?.outcome !== 'waiting') return result;
      await Promise.race([pause(this.#options.pauseMs ?? APPROVAL_POLL_MS), this.#stop.promise]);
    }
  }

  async #follow(run: string, log: AsyncIterable<EventLog>): Promise<RunEnd | undefined> {
    let state = '';
    let end: RunEnd | undefined;
    for await (const each of log) {
      if (this.#stopped) continue;
      if (each.type === 'StateEntered') state = each.state.name;
      const event = this.#eventOf(run, state, each);
      if (event === undefined) continue;
      this.#note(event);
      if (event.kind === 'succeeded' || event.kind === 'failed') end = event;
    }
    return end;
  }

  #eventOf(run: string, state: string, log: EventLog): RunEvent | undefined {
    const at = { run, atMs: log.timestamp, state };
    const step = this.#tasks.get(state)?.step;
    switch (log.type) {
      case 'StateEntered':
        return { ...at, kind: 'entered', ...(step === undefined ? {} : { step }) };
      case 'StateExited': {
        if (step === undefined) return { ...at, kind: 'left' };
        const document = log.state.output as Readonly<Record<string, unknown>>;
        return { ...at, kind: 'left', step, output: document[step] };
      }
      case 'StateFailed':
        return log.state.type === 'Fail'
          ? undefined
          : { ...at, kind: 'failed-try', error: log.Error, cause: String(log.Cause) };
      case 'ExecutionSucceeded':
        return { ...at, kind: 'succeeded' };
      case 'ExecutionFailed':
        return { ...at, kind: 'failed', error: log.Error, cause: String(log.Cause) };
      default:
        return undefined;
    }
  }

  #note(event: RunEvent): void {
    this.#history.append(event);
    this.#options.onEvent?.(event);
  }
}

type Json = ReturnType<typeof JSON.parse>;

/** Every task of the definition. Throws if one is not a call of the failover function: there is nothing else here. */
function tasksOf(definition: StateMachineDefinition): ReadonlyMap<string, Task> {
  const tasks = new Map<string, Task>();
  const functions = new Set<string>();
  for (const [name, state] of Object.entries(definition.States)) {
    if (state.Type === 'Map' || state.Type === 'Parallel')
      throw new Error(`state ${name} holds states of its own`);
    if (state.Type !== 'Task') continue;
    const given = state.Parameters as { step?: string; FunctionName?: string; Payload?: { step?: string } };
    const waits = state.Resource.endsWith(':lambda:invoke.waitForTaskToken');
    const step = waits ? given.Payload?.step : given.step;
    functions.add((waits ? given.FunctionName : state.Resource) ?? '');
    if (step === undefined) throw new Error(`task ${name} names no step`);
    tasks.set(name, { step, waits });
  }
  const [called = '', ...others] = functions;
  if (others.length > 0 || !called.includes(':function:')) {
    throw new Error(`the workflow calls more than one function: ${[...functions].join(', ')}`);
  }
  return tasks;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
