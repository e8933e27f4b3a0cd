import {
  type AlarmType,
  type CloudWatchClient,
  type CompositeAlarm,
  DescribeAlarmsCommand,
  type MetricAlarm,
} from '@aws-sdk/client-cloudwatch';
import { type AlarmState, alarmName, UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';

const STATES = { OK: 'ok', ALARM: 'alarm', INSUFFICIENT_DATA: 'unknown' } as const;
/** Names in one request. */
const MAX_NAMES = 100;

/**
 * A group's alarms as CloudWatch has them. They are asked for by name: the prefix of group `orders` is also that of
 * group `orders-eu`.
 */
export class CloudWatchAlarms implements AlarmStates {
  readonly #cloudwatch: CloudWatchClient | undefined;
  readonly #group: GroupId;

  /** @param deps.cloudwatch undefined where the group has none: then its alarms can't be read. */
  constructor(deps: { cloudwatch: CloudWatchClient | undefined; group: GroupId }) {
    this.#cloudwatch = deps.cloudwatch;
    this.#group = deps.group;
  }

  async of(names: readonly string[]): Promise<readonly AlarmState[]> {
    const found = new Map<string, MetricAlarm | CompositeAlarm>();
    for (let at = 0; at < names.length; at += MAX_NAMES) {
      for (const each of await this.#describe(names.slice(at, at + MAX_NAMES))) {
        found.set(each.AlarmName ?? '', each);
      }
    }
    return names.flatMap((name) => {
      const alarm = found.get(alarmName(this.#group, name));
      return alarm === undefined ? [] : [stateOf(name, alarm)];
    });
  }

  async #describe(names: readonly string[]): Promise<readonly (MetricAlarm | CompositeAlarm)[]> {
    // Whoever may read single alarms only, as functions may, is refused as soon as composite ones are asked for.
    const types: AlarmType[] = names.includes(UNSAFE_ALARM)
      ? ['MetricAlarm', 'CompositeAlarm']
      : ['MetricAlarm'];
    const found: (MetricAlarm | CompositeAlarm)[] = [];
    let token: string | undefined;
    do {
      const page = await this.#send(
        new DescribeAlarmsCommand({
          AlarmNames: names.map((name) => alarmName(this.#group, name)),
          AlarmTypes: types,
          ...(token === undefined ? {} : { NextToken: token }),
        }),
      );
      found.push(...(page.MetricAlarms ?? []), ...(page.CompositeAlarms ?? []));
      token = page.NextToken;
    } while (token !== undefined);
    return found;
  }

  async #send(command: DescribeAlarmsCommand) {
    if (this.#cloudwatch === undefined) throw nowhere();
    try {
      return await this.#cloudwatch.send(command);
    } catch (cause) {
      throw unreadable(cause);
    }
  }
}

function stateOf(alarm: string, found: MetricAlarm | CompositeAlarm): AlarmState {
  const since = found.StateTransitionedTimestamp ?? found.StateUpdatedTimestamp;
  return {
    alarm,
    state: STATES[found.StateValue as keyof typeof STATES] ?? 'unknown',
    sinceMs: since?.getTime() ?? 0,
    reason: found.StateReason ?? '',
    text: found.AlarmDescription ?? '',
  };
}

function nowhere(): UnderstudyError {
  return new UnderstudyError(
    'ALARMS_UNREADABLE',
    'the description of the group says of no CloudWatch where it is',
    'Give endpoints.REGION.cloudwatch where the group does not live at AWS.',
  );
}

function unreadable(cause: unknown): UnderstudyError {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  const next = /^AccessDenied|^UnrecognizedClient|^ExpiredToken/.test(name)
    ? 'Allow cloudwatch:DescribeAlarms to whoever asks.'
    : 'Try again; nothing that is safe waits for it.';
  return new UnderstudyError(
    'ALARMS_UNREADABLE',
    `CloudWatch does not say how the alarms stand: ${name}: ${message}`,
    next,
    { cause },
  );
}
