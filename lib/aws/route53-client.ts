import { Route53Client } from '@aws-sdk/client-route-53';

/** Time to connect, and time for one try of a request, ms: as for the clients of a Region. */
const CONNECT_MS = 2_000;
const REQUEST_MS = 10_000;
/** Route 53 takes five requests a second for an account and throttles the rest, so more tries than elsewhere. */
const ATTEMPTS = 5;

export type Route53ClientOptions = {
  /** If Route 53 is not reached at AWS's own endpoint. */
  readonly endpoint?: string;
  /** For servers that are not AWS; without them, the SDK finds credentials as always. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
};

/** A client of Route 53. Its control plane is in one Region, whichever Region asks. */
export function createRoute53Client(options: Route53ClientOptions = {}): Route53Client {
  return new Route53Client({
    ...options,
    region: 'us-east-1',
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      requestTimeout: REQUEST_MS,
      throwOnRequestTimeout: true,
    },
  });
}
