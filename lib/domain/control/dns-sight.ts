/** What one server that answers for the clients' name says of it, or why it says nothing. */
export type Sight =
  | { readonly vantage: string; readonly targets: readonly string[] }
  | { readonly vantage: string; readonly error: string };

/**
 * Why clients may not find `target` by what the vantages of DNS said; undefined if all of them name it alone. Where
 * none could be asked that is no reason by itself if `vouched`: DNS's control plane says that its servers have it.
 */
export function doubtOf(sights: readonly Sight[], target: string, vouched: boolean): string | undefined {
  const silent = sights.filter((each) => 'error' in each);
  if (vouched && silent.length === sights.length) return undefined;
  for (const each of sights) {
    if ('error' in each) return `${each.vantage} does not answer: ${each.error}`;
    const other = each.targets.find((named) => named !== target);
    if (other !== undefined) return `${each.vantage} names ${other}, not ${target}`;
  }
  return undefined;
}
