import { ANSWER_MS } from '#lib/engines/postgres/write-path.ts';

/**
 * A canary behind a strain is late by this, ms, whatever the machine: so late that a leader that had died with it would be voted out
 * by profile `fast`, and no later than a store may answer.
 */
export const HELD_UP_MS = ANSWER_MS - 600;
