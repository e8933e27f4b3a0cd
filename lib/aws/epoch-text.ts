import { canonicalTarget } from '#lib/aws/dns-target.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import type { LeaderInDns } from '#lib/ports/leader-record.ts';

const FORM = /^understudy epoch=(\d+) leader=(\S+)$/;

/** The value of the TXT record beside the address: quoted strings of at most 255 characters each. */
export function writeEpochText({ epoch, target }: LeaderInDns): string {
  // Neither a name nor an address holds a character that needs an escape.
  const parts = `understudy epoch=${epoch} leader=${target}`.match(/.{1,255}/g) ?? [];
  return parts.map((part) => `"${part}"`).join(' ');
}

/** Undefined for a value that `writeEpochText` would not write. */
export function readEpochText(value: string): LeaderInDns | undefined {
  const text = [...value.matchAll(/"([^"]*)"/g)].map(([, part]) => part).join('');
  const [, epoch, target] = FORM.exec(text) ?? [];
  if (epoch === undefined || target === undefined) return undefined;
  try {
    return { epoch: parseEpoch(epoch), target: canonicalTarget(target) };
  } catch {
    return undefined;
  }
}
