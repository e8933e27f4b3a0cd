import { isIP, isIPv4, isIPv6 } from 'node:net';
import type { RRType } from '@aws-sdk/client-route-53';
import { UnderstudyError } from '#lib/domain/errors.ts';

const NAME = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/;
const NAME_LENGTH = 253;

/** A target of a DNS record, a name or an address, in its one spelling. Throws CONFIG_INVALID. */
export function parseTarget(text: string): string {
  const target = canonicalTarget(text);
  if (isIP(target) !== 0 || (NAME.test(target) && target.length <= NAME_LENGTH)) return target;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${JSON.stringify(text)} is no target of a DNS record`,
    'Use a DNS name or an IP address.',
  );
}

/** The one spelling of a name or an address: as it is compared, and as it is written. */
export function canonicalTarget(target: string): string {
  if (isIPv6(target)) return new URL(`http://[${target}]`).hostname.slice(1, -1);
  return target.toLowerCase().replace(/\.$/, '');
}

/** The type of the record that names a target. */
export function typeOfTarget(target: string): RRType {
  if (isIPv4(target)) return 'A';
  return isIPv6(target) ? 'AAAA' : 'CNAME';
}
