import {
  DeleteResourcePolicyCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  GetResourcePolicyCommand,
  PolicyNotFoundException,
  PutResourcePolicyCommand,
} from '@aws-sdk/client-dynamodb';
import { fenceEpoch, withFence, withoutFence } from '#lib/aws/fence-policy.ts';
import type { Proof } from '#lib/domain/control/fence.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';

export type TableFenceDeps = {
  readonly dynamodb: DynamoDBClient;
  readonly table: string;
  /** ARNs of the roles that may write while the fence is up. */
  readonly exempt: readonly string[];
  /** Tries a write as an application would; absent where nobody can. */
  readonly probe?: () => Promise<'refused' | 'taken'>;
  readonly sleep: (ms: number) => Promise<void>;
};

/** A policy is read eventually consistently: how often a change that met another is made anew, and how long after. */
const TRIES = 8;
const PAUSE_MS = 150;
/** How often it is looked whether the fence is in force, which takes the service some seconds. */
const PROOFS = 20;

/**
 * The fence of a DynamoDB table: a resource policy that denies the writes of all but Understudy's own roles. It bears
 * the epoch that has raised it, and each change is conditional on the policy's revision.
 */
export class TableFence implements EngineFence {
  readonly #deps: TableFenceDeps;
  #arn: Promise<string> | undefined;

  constructor(deps: TableFenceDeps) {
    this.#deps = deps;
  }

  async raise(epoch: Epoch): Promise<Proof> {
    const { exempt } = this.#deps;
    const tableArn = await this.#tableArn();
    await this.#change((policy) => {
      const at = fenceEpoch(policy);
      return at !== undefined && at >= epoch ? policy : withFence(policy, { epoch, tableArn, exempt });
    });
    return this.#prove(epoch);
  }

  async lower(epoch: Epoch): Promise<'open' | 'fenced'> {
    const left = await this.#change((policy) => {
      const at = fenceEpoch(policy);
      return policy === undefined || at === undefined || at > epoch ? policy : withoutFence(policy);
    });
    return fenceEpoch(left) === undefined ? 'open' : 'fenced';
  }

  /** The policy as it is now, or as it was changed to. */
  async #change(to: (policy: string | undefined) => string | undefined): Promise<string | undefined> {
    const { dynamodb, sleep, table } = this.#deps;
    const ResourceArn = await this.#tableArn();
    for (let tries = 0; tries < TRIES; tries += 1) {
      const { policy, revision } = await this.#read();
      const next = to(policy);
      if (next === policy) return policy;
      try {
        const at = { ResourceArn, ExpectedRevisionId: revision };
        if (next === undefined) await dynamodb.send(new DeleteResourcePolicyCommand(at));
        else await dynamodb.send(new PutResourcePolicyCommand({ ...at, Policy: next }));
        return next;
      } catch (error) {
        // Somebody else has changed it, or what was read is not the newest.
        if (!(error instanceof PolicyNotFoundException)) throw error;
      }
      await sleep(PAUSE_MS * (tries + 1));
    }
    throw new UnderstudyError(
      'FENCE_NOT_MOVED',
      `the resource policy of table ${table} is being changed by others all the time`,
      'See who else changes it; the fence is tried again.',
    );
  }

  async #prove(epoch: Epoch): Promise<Proof> {
    const { probe, sleep } = this.#deps;
    if (probe === undefined) return unproven('its policy is in place, but nobody can try a write');
    for (let looks = 0; looks < PROOFS; looks += 1) {
      const { policy } = await this.#read();
      if ((fenceEpoch(policy) ?? -1) >= epoch && (await probe()) === 'refused') {
        return { proven: true, detail: "its policy reads back, and refuses an application's write" };
      }
      await sleep(PAUSE_MS);
    }
    return unproven("its policy is set, but an application's write is still taken");
  }

  async #read(): Promise<{ readonly policy: string | undefined; readonly revision: string }> {
    try {
      const { Policy, RevisionId } = await this.#deps.dynamodb.send(
        new GetResourcePolicyCommand({ ResourceArn: await this.#tableArn() }),
      );
      return { policy: Policy, revision: RevisionId! };
    } catch (error) {
      if (error instanceof PolicyNotFoundException) return { policy: undefined, revision: 'NO_POLICY' };
      throw error;
    }
  }

  #tableArn(): Promise<string> {
    const { dynamodb, table: TableName } = this.#deps;
    this.#arn ??= dynamodb.send(new DescribeTableCommand({ TableName })).then(
      ({ Table }) => Table!.TableArn!,
      (error) => {
        this.#arn = undefined;
        throw error;
      },
    );
    return this.#arn;
  }
}

function unproven(detail: string): Proof {
  return { proven: false, detail };
}
