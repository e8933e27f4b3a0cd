import { describe, expect, test } from 'vitest';
import { evaluate } from '#lib/local/cloudwatch/evaluate.ts';

/** Last periods as CloudWatch's guide draws them, the newest to the right: 0 is within, X beyond the threshold. */
function periods(drawn: string): readonly (number | undefined)[] {
  return drawn.split(' ').map((each) => (each === '-' ? undefined : each === 'X' ? 2 : 0));
}

function stateOf(drawn: string, least: number, missing: 'breaching' | 'notBreaching', above = true) {
  return evaluate(
    {
      ComparisonOperator: above ? 'GreaterThanThreshold' : 'LessThanThreshold',
      DatapointsToAlarm: least,
      EvaluationPeriods: 3,
      Threshold: 1,
      TreatMissingData: missing,
    },
    periods(drawn),
  ).state;
}

describe('an alarm that evaluates 3 periods is as the guide to CloudWatch says', () => {
  test.each([
    // drawn, to alarm, missing is breaching, missing is not
    ['0 - X - X', 3, 'OK', 'OK'],
    ['0 - - - -', 3, 'OK', 'OK'],
    ['- - - - -', 3, 'ALARM', 'OK'],
    ['0 X X - X', 3, 'ALARM', 'ALARM'],
    ['- - X - -', 3, 'ALARM', 'OK'],
    ['0 - X - X', 2, 'ALARM', 'ALARM'],
    ['0 0 X 0 X', 2, 'ALARM', 'ALARM'],
    ['0 - X - -', 2, 'ALARM', 'OK'],
    ['- - - - 0', 2, 'ALARM', 'OK'],
    ['- - - X -', 2, 'ALARM', 'OK'],
  ] as const)('for %s, of which %i make an alarm', (drawn, least, breaching, notBreaching) => {
    expect(stateOf(drawn, least, 'breaching')).toBe(breaching);
    expect(stateOf(drawn, least, 'notBreaching')).toBe(notBreaching);
  });

  test('and looks no further back than two periods more', () => {
    expect(stateOf('X X X 0 0 0', 1, 'notBreaching')).toBe('OK');
    expect(stateOf('0 0 0 - - - -', 3, 'breaching')).toBe('OK');
    expect(stateOf('0 0 0 - - - - -', 3, 'breaching')).toBe('ALARM');
  });

  test('and may breach from below', () => {
    expect(stateOf('0 0 0', 3, 'notBreaching', false)).toBe('ALARM');
    expect(stateOf('X 0 0', 3, 'notBreaching', false)).toBe('OK');
  });

  test('and says by which figures it went', () => {
    const rule = {
      ComparisonOperator: 'GreaterThanThreshold',
      DatapointsToAlarm: 2,
      EvaluationPeriods: 3,
      Threshold: 1,
      TreatMissingData: 'breaching',
    } as const;
    expect(evaluate(rule, [undefined, undefined, 2, undefined, undefined]).reason).toBe(
      '1 of the last 3 datapoints [2] are greater than the threshold (1), and 2 are missing and count as breaching; 2 make an alarm.',
    );
  });
});
