import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** Tags of X.690 that a certificate needs. */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  sequence: 0x30,
  set: 0x31,
};
const UTC_TIME = 0x17;
const VALID_MS = 24 * 3_600_000;

/** OIDs in DER, of RFC 5280 and RFC 5758. */
const ECDSA_WITH_SHA256 = '2a8648ce3d040302';
const COMMON_NAME = '550403';
const SUBJECT_ALT_NAME = '551d11';
const BASIC_CONSTRAINTS = '551d13';

/**
 * A certificate that signs itself, for 127.0.0.1 and localhost and for a day, with its key; both PEM. By hand, since
 * Node signs but writes no certificates, and not every machine has openssl.
 */
export function selfSigned(now = Date.now()): { readonly certificate: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const algorithm = der(TAG.sequence, oid(ECDSA_WITH_SHA256));
  const name = der(
    TAG.sequence,
    der(TAG.set, der(TAG.sequence, oid(COMMON_NAME), der(TAG.utf8, Buffer.from('understudy e2e')))),
  );
  const names = der(
    TAG.sequence,
    der(0x87, Buffer.from([127, 0, 0, 1])),
    der(0x82, Buffer.from('localhost')),
  );
  const extensions = der(
    0xa3,
    der(
      TAG.sequence,
      der(TAG.sequence, oid(SUBJECT_ALT_NAME), der(TAG.octets, names)),
      der(
        TAG.sequence,
        oid(BASIC_CONSTRAINTS),
        der(TAG.boolean, Buffer.from([0xff])),
        der(TAG.octets, der(TAG.sequence, der(TAG.boolean, Buffer.from([0xff])))),
      ),
    ),
  );
  const body = der(
    TAG.sequence,
    der(0xa0, der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, Buffer.concat([Buffer.from([0x01]), randomBytes(8)])),
    algorithm,
    name,
    // An hour back: clocks of one machine agree, those of its containers not always.
    der(TAG.sequence, utcTime(now - 3_600_000), utcTime(now + VALID_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]);
  const certificate = der(TAG.sequence, body, algorithm, der(TAG.bits, signature));
  return {
    certificate: pem('CERTIFICATE', certificate),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

function utcTime(ms: number): Buffer {
  return der(UTC_TIME, Buffer.from(`${new Date(ms).toISOString().replace(/^..|[-:T]|\..*/g, '')}Z`));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g)!;
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
