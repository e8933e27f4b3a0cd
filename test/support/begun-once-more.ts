/** A drill that was too early for a busy machine has shown nothing yet: it is begun once more. */
export async function begunOnceMore<T>(drill: () => Promise<T>): Promise<T> {
  return drill().catch((error) => {
    if (!/before anything was broken/.test(String(error))) throw error;
    return drill();
  });
}
