/*
 * Items in bytes. DynamoDB hands its changes over already parsed, so there are no native bytes to pass through;
 * this is the compact form in which they travel. A value is a tag and a payload; lengths are varints; text is
 * one byte a character where it is ASCII and UTF-8 where not; numbers are their decimal text; binary is raw.
 * Attribute names at the top level come from a dictionary that the segment carries once.
 */
export const ASCII = 1;
export const UTF8 = 2;
export const NUMBER = 3;
export const BINARY = 4;
export const FALSE = 5;
export const TRUE = 6;
export const NULL = 7;
export const STRING_SET = 8;
export const NUMBER_SET = 9;
export const BINARY_SET = 10;
export const LIST = 11;
export const MAP = 12;
/** In a before-image: the attribute was not there. */
export const ABSENT = 13;

/** Names in the dictionary; further ones are written out where they stand. */
export const MAX_NAMES = 4096;
/** DynamoDB nests 32 deep. */
export const MAX_DEPTH = 40;
