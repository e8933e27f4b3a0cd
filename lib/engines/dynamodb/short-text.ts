/** Text up to this length is put together here; longer text is left to the runtime. */
const SHORT = 24;
const codes = Array.from({ length: SHORT + 1 }, (_, length) => new Array<number>(length).fill(0));

/**
 * One character for each byte of `bytes[start, end)`. For short text, which most keys and values are, this takes half
 * the time of a call into the runtime, and it runs several times a record.
 */
export function latin1Text(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  const short = codes[length];
  if (short === undefined) return bytes.toString('latin1', start, end);
  for (let index = 0; index < length; index++) short[index] = bytes[start + index]!;
  return String.fromCharCode.apply(null, short);
}
