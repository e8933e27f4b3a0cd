import type { CaptureFeed } from './foreign/capture-feed.ts';
import type { Group } from './group.ts';

/** The Region of the control planes that an account has once: IAM, Route 53. A run stops any other. */
export const HOME = 'us-east-1';

/** How a Region is lost, and comes back. */
export type Outage = {
  readonly lose: (group: Group, region: string) => Promise<void>;
  readonly bringBack: (group: Group, region: string) => Promise<void>;
};

/** The cloud that a run is made on. */
export type Target = {
  /** How it is called in the report. */
  readonly name: string;
  readonly account: string;
  /** Environment of what is started: credentials, endpoint, certificate. */
  readonly env: NodeJS.ProcessEnv;
  /** Three Regions, the first leader first; none but the second is us-east-1. */
  readonly regions: readonly [string, string, string];
  /** A Region that a group in use can be given; absent: none is. */
  readonly spare?: string;
  /** Whether the CDK's own stacks have to be made first. */
  readonly bootstrap: boolean;
  /** How a Region is lost and comes back; absent where it cannot be. */
  readonly outage?: Outage;
  /** How a Region stops where it stands, so that whatever is asked of it hangs; absent where nobody can do that. */
  readonly freezing?: Outage;
  /** An emulator that somebody else has started: what it lacks is found out, and it stays when the run has ended. */
  readonly foreign?: { readonly feed: CaptureFeed };
  /** Where a Region listens without TLS; known of the project's own emulator only. */
  readonly plainEndpoint?: (region: string) => string;
};
