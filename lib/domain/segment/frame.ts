import type { ChangeKind } from '#lib/domain/change.ts';

/*
 * What is inside a block, before compression:
 *
 *   length of the bodies u32 | body of each record | frame of each record
 *
 * A body is key, after, before, end to end. A frame is a tag byte, then varints: table and shard (unless they
 * are those of the frame before), distance of the sequence's tail from the one before, distance of the commit
 * time from the one before, lengths of key, after and before. Where the sequence has another head or length
 * than the one before, or does not grow, its length and all of its digits stand in place of the distance.
 * Before the first frame of a block there is nothing: table, shard and time 0, no sequence.
 *
 * Frames stand apart from bodies because each compresses better among its own kind.
 */
export const KINDS = [
  'insert',
  'update',
  'delete',
  'expiry',
  'statement',
  'marker',
] as const satisfies ChangeKind[];
export const KIND_CODES: Readonly<Record<ChangeKind, number>> = {
  insert: 0,
  update: 1,
  delete: 2,
  expiry: 3,
  statement: 4,
  marker: 5,
};

/** Bits of the tag. */
export const KIND_BITS = 0x07;
export const HAS_AFTER = 0x08;
export const HAS_BEFORE = 0x10;
export const ELSEWHERE = 0x20;
export const EARLIER = 0x40;
export const ALL_DIGITS = 0x80;

/** Digits of a sequence. */
export const MAX_SEQUENCE_DIGITS = 64;
/** The tail of a sequence: as many of its last digits as always make a 31-bit integer. The rest is its head. */
export const TAIL_DIGITS = 9;

/** Bytes of the length that stands in front of the bodies. */
export const BODIES_AT = 4;
export const MIN_FRAME_BYTES = 4;
export const MAX_FRAME_BYTES = 1 + 3 + 3 + 1 + MAX_SEQUENCE_DIGITS + 8 + 4 + 4 + 4;
