import { expect, test } from 'vitest';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { inVain, tooEarly } from '#lib/local/drill/conclude.ts';
import { phasesOf } from '#lib/local/drill/timeline.ts';

test('a leader that was replaced before it took a write is a drill that shows nothing', () => {
  expect(tooEarly(parseEpoch(1), undefined)).toEqual([]);
  expect(tooEarly(parseEpoch(2), { atMs: 1 })).toEqual([]);
  expect(tooEarly(parseEpoch(2), undefined)).toEqual([expect.stringContaining('before it took a write')]);
});

test('a leader that was replaced though it was alive has failed its drill', () => {
  expect(inVain(parseEpoch(2), 'overload')).toEqual([expect.stringContaining('though it was alive')]);
  expect(inVain(parseEpoch(1), 'overload')).toEqual([]);
  expect(inVain(parseEpoch(2), 'region-loss')).toEqual([]);
});

test('a phase whose begin or end nobody has seen has no length', () => {
  const atMs = 1_700_000_000_000;
  const lines = [{ kind: 'failover-started', run: 'run', region: 'eu-west-1', atMs }];
  expect(phasesOf(lines, 'run', { lastWriteMs: undefined, firstWriteMs: undefined })).toMatchObject({
    detectMs: null,
    claimMs: null,
    firstWriteMs: null,
  });
  const seen = { lastWriteMs: atMs - 1_500, firstWriteMs: undefined };
  expect(phasesOf(lines, 'run', seen)).toMatchObject({ detectMs: 1_500, firstWriteMs: null });
});
