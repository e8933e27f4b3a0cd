import { Duration } from 'aws-cdk-lib';
import type { DrillProps } from '#lib/constructs/group-props.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';

/** When drills take place, and what becomes of their evidence; checked. */
export type DrillPlan = Required<DrillProps>;

/** Six fields: minutes, hours, day of month, month, day of week, year. One of the two kinds of day is `?`. */
const CRON = /^cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)$/;

/** Fills in what is not given. Throws CONFIG_INVALID that names the prop. */
export function drillOf({
  approvedBy,
  keep = Duration.days(400),
  schedule,
  timezone = 'UTC',
}: DrillProps): DrillPlan {
  const [, , , date, , day] = CRON.exec(schedule) ?? [];
  if (date === undefined || (date === '?') === (day === '?')) {
    throw invalidProp(
      'drill.schedule',
      `${JSON.stringify(schedule)} is not a cron expression of EventBridge Scheduler`,
      'Give six fields, with ? for one of day of month and day of week: cron(0 10 ? * TUE#1 *).',
    );
  }
  if (!isTimeZone(timezone)) {
    throw invalidProp(
      'drill.timezone',
      `${JSON.stringify(timezone)} is not a time zone`,
      'Give its IANA name, such as Europe/Berlin.',
    );
  }
  if (approvedBy.trim() === '') {
    throw invalidProp('drill.approvedBy', 'nobody is named', 'Say who answers for the drills.');
  }
  const days = keep.isUnresolved() ? Number.NaN : keep.toDays({ integral: false });
  if (!Number.isInteger(days) || days < 1) {
    throw invalidProp(
      'drill.keep',
      'S3 keeps for whole days',
      'Give it one day at least: Duration.days(400).',
    );
  }
  return { approvedBy, keep, schedule, timezone };
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    // Offsets such as +01:00, which Node takes, are none to the scheduler.
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}
