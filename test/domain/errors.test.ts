import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { ERRORS, type ErrorCode, isFailure, UnderstudyError } from '#lib/domain/errors.ts';

const runbook = await readFile(new URL('../../docs/RUNBOOK.md', import.meta.url), 'utf8');
const headings = [...runbook.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!);
const codes = Object.keys(ERRORS) as ErrorCode[];

/** The anchor that a heading gets where Markdown is rendered. */
const anchorOf = (heading: string) => heading.toLowerCase().replaceAll(' ', '-');

describe('the registry of failures', () => {
  test('has a section in the runbook for each code, in the same order, and the runbook has none for another', () => {
    expect(headings.filter((heading) => /^[A-Z0-9_]+$/.test(heading))).toEqual(codes);
  });

  test('links each code to its section', () => {
    const anchors = new Set(headings.map(anchorOf));
    for (const code of codes) {
      const [file, anchor] = new UnderstudyError(code, 'it broke', 'Mend it.').runbook.split('#');
      expect(file).toBe('docs/RUNBOOK.md');
      expect(anchors).toContain(anchor);
    }
  });

  test('has a section of some substance for each', () => {
    for (const section of runbook.split(/^## /m).slice(1)) {
      const [heading, ...lines] = section.split('\n').filter((line) => line.trim() !== '');
      expect(lines.length, heading).toBeGreaterThanOrEqual(3);
      expect(section, heading).toMatch(/^- Affected: |^- /m);
    }
  });
});

describe('a failure', () => {
  test('says its code, what happened and what to do next, and keeps its cause', () => {
    const cause = new Error('socket hang up');
    const failure = new UnderstudyError('REGION_UNREACHABLE', 'eu-west-1 did not answer', 'Try again.', {
      cause,
    });
    expect(failure.message).toBe('REGION_UNREACHABLE: eu-west-1 did not answer. Try again.');
    expect(failure).toMatchObject({ name: 'UnderstudyError', retry: 'now', next: 'Try again.', cause });
  });

  test('is told from other errors, and by its code', () => {
    const failure = new UnderstudyError('LOG_FENCED', 'a', 'b');
    expect(isFailure(failure)).toBe(true);
    expect(isFailure(failure, 'LOG_FENCED')).toBe(true);
    expect(isFailure(failure, 'LOG_DIVERGED')).toBe(false);
    expect(isFailure(new Error('LOG_FENCED'))).toBe(false);
    expect(isFailure(undefined)).toBe(false);
  });
});
