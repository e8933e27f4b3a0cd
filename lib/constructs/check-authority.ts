import { X509Certificate } from 'node:crypto';
import { invalidProp } from '#lib/constructs/prop-error.ts';

/** Throws CONFIG_INVALID unless it is the PEM of authorities, and of nothing that is a secret. */
export function refuseAuthority(pem: string): void {
  const next =
    'Give the text of the certificate that signs those of the servers, as PEM; for RDS and Aurora leave it out.';
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || pem.includes('PRIVATE KEY')) {
    throw invalidProp('engine.authority', 'it is not PEM of certificates, and of nothing else', next);
  }
  for (const block of blocks) {
    let found: X509Certificate;
    try {
      found = new X509Certificate(block);
    } catch {
      throw invalidProp('engine.authority', 'one of its certificates cannot be read', next);
    }
    if (!found.ca)
      throw invalidProp('engine.authority', `${found.subject} is the certificate of no authority`, next);
  }
}
