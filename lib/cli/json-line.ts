/** A value as one line of JSON: LSNs as decimal strings, bytes as base64. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === 'bigint') return each.toString();
    return each instanceof Uint8Array ? Buffer.from(each).toString('base64') : each;
  });
}
