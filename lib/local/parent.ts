import type { Ready } from '#lib/local/child.ts';

/**
 * Ties this process to the one that forked it and reports that it is up: it ends when the parent does, however
 * that ends, and leaves SIGINT to the parent. Call it last, when all else is set up.
 */
export function serveParent(): void {
  process.on('disconnect', () => process.exit(0));
  process.on('SIGINT', () => {});
  // The parent may have gone before there was a listener.
  if (!process.connected) process.exit(0);
  const ready: Ready = { kind: 'ready' };
  tellParent(ready);
}

/** Sends a message to the process that forked this one. */
export function tellParent(message: object): void {
  // An error means that the parent is gone; 'disconnect' follows.
  process.send?.(message, undefined, undefined, () => {});
}
