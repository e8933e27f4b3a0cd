import type { IncomingMessage } from 'node:http';
import { gunzipSync } from 'node:zlib';
import * as z from 'zod';
import type { Api, ApiReply } from '#lib/local/api-server.ts';
import type { Described, LocalCloudWatch } from '#lib/local/cloudwatch/local-cloudwatch.ts';

/** What CloudWatch calls itself in the header that names the operation. */
const SERVICE = 'GraniteServiceVersion20100801';
const PAGE = 50;

const putMetricData = z.object({
  Namespace: z.string().min(1),
  MetricData: z.array(
    z.strictObject({
      MetricName: z.string().min(1),
      Dimensions: z.array(z.object({ Name: z.string(), Value: z.string() })).default([]),
      /** Unix seconds. */
      Timestamp: z.number().optional(),
      Unit: z.string().optional(),
      Value: z.number(),
    }),
  ),
});
const describeAlarms = z.strictObject({
  AlarmNames: z.array(z.string()).max(100).optional(),
  AlarmNamePrefix: z.string().optional(),
  AlarmTypes: z.array(z.enum(['MetricAlarm', 'CompositeAlarm'])).default(['MetricAlarm']),
  StateValue: z.enum(['OK', 'ALARM', 'INSUFFICIENT_DATA']).optional(),
  MaxRecords: z.int().min(1).max(100).default(PAGE),
  NextToken: z.string().optional(),
});
const setAlarmState = z.object({
  AlarmName: z.string(),
  StateValue: z.enum(['OK', 'ALARM', 'INSUFFICIENT_DATA']),
  StateReason: z.string(),
});

type Reply = { readonly status: number; readonly body: object; readonly error?: string };

/** The part of CloudWatch's API that the group needs, in AWS JSON 1.0. */
export class CloudWatchApi implements Api {
  readonly #cloudwatch: LocalCloudWatch;
  readonly #now: () => number;

  constructor(cloudwatch: LocalCloudWatch, now = () => Date.now()) {
    this.#cloudwatch = cloudwatch;
    this.#now = now;
  }

  answer(request: IncomingMessage, bytes: Buffer): ApiReply {
    // The client compresses what is large.
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    const target = `${request.headers['x-amz-target']}`;
    try {
      return sent(this.#call(target, JSON.parse(text.toString() || '{}')));
    } catch (error) {
      if (error instanceof z.ZodError) return sent(failure('ValidationException', z.prettifyError(error)));
      throw error;
    }
  }

  throttled(): ApiReply {
    return sent(failure('ThrottlingException', 'Rate exceeded'));
  }

  #call(target: string, input: unknown): Reply {
    switch (target) {
      case `${SERVICE}.PutMetricData`:
        return this.#put(putMetricData.parse(input));
      case `${SERVICE}.DescribeAlarms`:
        return this.#describe(describeAlarms.parse(input));
      case `${SERVICE}.SetAlarmState`: {
        const { AlarmName, StateReason, StateValue } = setAlarmState.parse(input);
        const known = this.#cloudwatch.setState(AlarmName, StateValue, StateReason);
        return known
          ? { status: 200, body: {} }
          : failure('ResourceNotFound', `There is no alarm ${AlarmName}`);
      }
      default:
        return failure('UnknownOperationException', `${target} is not known here`);
    }
  }

  #put({ Namespace, MetricData }: z.infer<typeof putMetricData>): Reply {
    this.#cloudwatch.put(
      MetricData.map(({ MetricName, Dimensions, Timestamp, Value }) => ({
        namespace: Namespace,
        name: MetricName,
        dimensions: Object.fromEntries(Dimensions.map((each) => [each.Name, each.Value])),
        value: Value,
        atMs: Timestamp === undefined ? this.#now() : Timestamp * 1000,
      })),
    );
    return { status: 200, body: {} };
  }

  #describe(query: z.infer<typeof describeAlarms>): Reply {
    const { AlarmNames, AlarmNamePrefix, AlarmTypes, MaxRecords, NextToken, StateValue } = query;
    if (AlarmNames !== undefined && AlarmNamePrefix !== undefined) {
      return failure('InvalidParameterCombination', 'AlarmNames and AlarmNamePrefix exclude each other');
    }
    const from = NextToken === undefined ? 0 : Number(/^from-(\d+)$/.exec(NextToken)?.[1]);
    if (Number.isNaN(from)) return failure('InvalidNextToken', 'There is no such token');
    const asked = this.#cloudwatch.describe().filter(({ definition: { AlarmName }, kind, state }) => {
      if (!AlarmTypes.includes(kind === 'metric' ? 'MetricAlarm' : 'CompositeAlarm')) return false;
      if (StateValue !== undefined && state.value !== StateValue) return false;
      return AlarmNames?.includes(AlarmName) ?? AlarmName.startsWith(AlarmNamePrefix ?? '');
    });
    const page = asked.slice(from, from + MaxRecords);
    const end = from + page.length;
    return {
      status: 200,
      body: {
        MetricAlarms: page.filter(({ kind }) => kind === 'metric').map(alarmBody),
        CompositeAlarms: page.filter(({ kind }) => kind === 'composite').map(alarmBody),
        ...(end < asked.length && { NextToken: `from-${end}` }),
      },
    };
  }
}

function alarmBody({ definition, state }: Described): object {
  return {
    ...definition,
    StateValue: state.value,
    StateReason: state.reason,
    StateUpdatedTimestamp: state.sinceMs / 1000,
    StateTransitionedTimestamp: state.sinceMs / 1000,
  };
}

function sent({ status, body, error }: Reply): ApiReply {
  const headers = {
    'content-type': 'application/x-amz-json-1.0',
    ...(error && { 'x-amzn-query-error': `${error};Sender` }),
  };
  return { status, headers, body: JSON.stringify(body) };
}

function failure(error: string, message: string): Reply {
  return { status: 400, error, body: { __type: `com.amazonaws.cloudwatch#${error}`, message } };
}
