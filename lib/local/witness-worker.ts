import type { Context } from 'aws-lambda';
import { theRuntime, writeTelemetryTo } from '#functions/runtime.ts';
import { handler } from '#functions/sentinel/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import { FigureSender } from '#lib/local/cloudwatch/figure-sender.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { Schedule, type TickEvent } from '#lib/local/event-source/schedule.ts';
import { systemTimer } from '#lib/local/event-source/timer.ts';
import { serveParent, tellParent } from '#lib/local/parent.ts';

/* The one function of a witness, run as Lambda runs it. Configuration: the function's own environment. */

/** How often the schedule fires, ms; a minute on AWS. */
const SENTINEL_MS = 500;

writeTelemetryTo((line) => {
  figures.line(line);
  tellParent({ kind: 'telemetry', line });
});
const { config, peers, region } = theRuntime();
const figures = new FigureSender({
  cloudwatch: peers.clients(region).cloudwatch!,
  onError: (error) => tellParent({ kind: 'figures-lost', why: String(error) }),
});
const functionName = resourceName(config.group, 'sentinel');
const invoker = new FunctionInvoker<TickEvent>({
  functionName,
  functionArn: `arn:aws:lambda:${region}:000000000000:function:${functionName}`,
  handler: handler as (event: TickEvent, context: Context) => Promise<unknown>,
  timeoutMs: 30_000,
  timer: systemTimer,
  onEnd: (event, invocation) => figures.invoked(functionName, event, invocation),
});
new Schedule({ everyMs: SENTINEL_MS, invoker, timer: systemTimer }).start();
setInterval(() => void figures.flush(), config.reportMs / 2);
serveParent();
