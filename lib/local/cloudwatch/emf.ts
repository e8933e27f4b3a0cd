import * as z from 'zod';
import type { Datum } from '#lib/local/cloudwatch/local-cloudwatch.ts';

const directives = z.object({
  _aws: z.object({
    Timestamp: z.number(),
    CloudWatchMetrics: z.array(
      z.object({
        Namespace: z.string(),
        Dimensions: z.array(z.array(z.string())),
        Metrics: z.array(z.object({ Name: z.string() })),
      }),
    ),
  }),
});

/**
 * The figures in a line of a log, as CloudWatch Logs takes them out of it: those of the embedded metric format. A line
 * of another kind has none.
 */
export function dataOf(line: string): readonly Datum[] {
  // Most lines are none, and need not be read for it.
  if (!line.startsWith('{"_aws"')) return [];
  const values = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const { _aws } = directives.parse(values);
  return _aws.CloudWatchMetrics.flatMap(({ Dimensions, Metrics, Namespace }) =>
    Dimensions.flatMap((set) =>
      Metrics.map(({ Name }) => ({
        namespace: Namespace,
        name: Name,
        dimensions: Object.fromEntries(set.map((each) => [each, textOf(values, each)])),
        value: numberOf(values, Name),
        atMs: _aws.Timestamp,
      })),
    ),
  );
}

function textOf(values: Readonly<Record<string, unknown>>, name: string): string {
  const value = values[name];
  if (typeof value === 'string') return value;
  throw new Error(`a line of metrics has no text for its dimension ${name}`);
}

function numberOf(values: Readonly<Record<string, unknown>>, name: string): number {
  const value = values[name];
  if (typeof value === 'number') return value;
  throw new Error(`a line of metrics has no number for ${name}`);
}
