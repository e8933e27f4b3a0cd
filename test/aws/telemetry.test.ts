import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { EmfTelemetry } from '#lib/aws/emf-telemetry.ts';
import { COUNTED, METRICS, type MetricName } from '#lib/domain/metrics.ts';

/** CloudWatch's schema of a line in embedded metric format (User Guide, "Specification: Embedded metric format"). */
const name = z.string().min(1).max(255);
const emf = z
  .looseObject({
    _aws: z.strictObject({
      Timestamp: z.int().positive(),
      CloudWatchMetrics: z
        .array(
          z.strictObject({
            Namespace: z.string().min(1).max(1024),
            Dimensions: z.array(z.array(z.string().min(1).max(250)).max(30)).min(1),
            Metrics: z
              .array(
                z.strictObject({
                  Name: name,
                  // Of CloudWatch's units, those that are used here.
                  Unit: z.enum(['Count', 'Seconds', 'Bytes', 'Percent', 'None']),
                }),
              )
              .min(1)
              .max(100),
          }),
        )
        .min(1),
    }),
  })
  .superRefine((line, context) => {
    for (const { Dimensions, Metrics } of line._aws.CloudWatchMetrics) {
      const bad = [
        ...Dimensions.flat().filter((dimension) => typeof line[dimension] !== 'string'),
        ...Metrics.filter(({ Name }) => typeof line[Name] !== 'number').map(({ Name }) => Name),
      ];
      for (const member of bad) context.addIssue(`${member} has no value of its type at the root`);
    }
  });

function record(use: (telemetry: EmfTelemetry) => void): unknown[] {
  const lines: string[] = [];
  const context = { group: 'orders', region: 'eu-west-1' };
  use(
    new EmfTelemetry({ write: (line) => lines.push(line), clock: { now: () => 1_700_000_000_123 }, context }),
  );
  for (const line of lines) expect(line).not.toContain('\n');
  return lines.map((line) => JSON.parse(line));
}

describe('telemetry', () => {
  test('writes metrics as CloudWatch reads them, by group and Region', () => {
    const lines = record((telemetry) =>
      telemetry.metrics({ AppliedLagSeconds: 1.25, AppliedLagRecords: 0, AppliedLagBytes: 2 ** 53 }),
    );
    expect(lines).toHaveLength(1);
    expect(() => emf.parse(lines[0])).not.toThrow();
    expect(lines[0]).toEqual({
      _aws: {
        Timestamp: 1_700_000_000_123,
        CloudWatchMetrics: [
          {
            Namespace: 'Understudy',
            Dimensions: [['group', 'region']],
            Metrics: [
              { Name: 'AppliedLagSeconds', Unit: 'Seconds' },
              { Name: 'AppliedLagRecords', Unit: 'Count' },
              { Name: 'AppliedLagBytes', Unit: 'Bytes' },
            ],
          },
        ],
      },
      group: 'orders',
      region: 'eu-west-1',
      AppliedLagSeconds: 1.25,
      AppliedLagRecords: 0,
      AppliedLagBytes: 2 ** 53,
    });
  });

  test('sends every figure that there is in a form that CloudWatch takes', () => {
    const names = Object.keys(METRICS) as MetricName[];
    const [line] = record((telemetry) =>
      telemetry.metrics(Object.fromEntries(names.map((name, index) => [name, index]))),
    );
    expect(() => emf.parse(line)).not.toThrow();
    expect(line).toMatchObject(Object.fromEntries(names.map((name, index) => [name, index])));
  });

  test.each([undefined, Number.NaN, Number.POSITIVE_INFINITY])(
    'does not send %s, least of all as 0',
    (value) => {
      expect(record((telemetry) => telemetry.metrics({ RpoRecords: value }))).toEqual([]);
      const [line] = record((telemetry) => telemetry.metrics({ RpoRecords: value, Candidates: 2 }));
      expect(() => emf.parse(line)).not.toThrow();
      expect(line).not.toHaveProperty('RpoRecords');
      expect(line).toMatchObject({ Candidates: 2 });
    },
  );

  test('writes no line for no metric', () => {
    expect(record((telemetry) => telemetry.metrics({}))).toEqual([]);
  });

  test.each(Object.entries(COUNTED))(
    'counts an event %s in the very line that tells of it',
    (kind, counted) => {
      const [line] = record((telemetry) => telemetry.event(kind, { epoch: 3 }));
      expect(() => emf.parse(line)).not.toThrow();
      expect(line).toMatchObject({ kind, epoch: 3, [counted]: 1 });
    },
  );

  test.each(['captured', 'constructor', 'toString'])('counts no event %s', (kind) => {
    const [line] = record((telemetry) => telemetry.event(kind, {}));
    expect(line).not.toHaveProperty('_aws');
  });

  test('lets no field of an event pass for its group or Region', () => {
    const [line] = record((telemetry) => telemetry.event('voted', { group: 'other', region: 'us-east-1' }));
    expect(line).toMatchObject({ group: 'orders', region: 'eu-west-1' });
  });

  test('writes an event as one line with its kind, time, group and Region', () => {
    expect(record((telemetry) => telemetry.event('captured', { lsn: '7', why: 'two\nlines' }))).toEqual([
      {
        kind: 'captured',
        atMs: 1_700_000_000_123,
        group: 'orders',
        region: 'eu-west-1',
        lsn: '7',
        why: 'two\nlines',
      },
    ]);
  });
});
