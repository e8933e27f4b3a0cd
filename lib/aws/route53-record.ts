import {
  type Change,
  ChangeResourceRecordSetsCommand,
  GetChangeCommand,
  ListResourceRecordSetsCommand,
  type ListResourceRecordSetsRequest,
  type ResourceRecordSet,
  type Route53Client,
  Route53ServiceException,
  type RRType,
} from '@aws-sdk/client-route-53';
import { canonicalTarget, parseTarget, typeOfTarget } from '#lib/aws/dns-target.ts';
import { readEpochText, writeEpochText } from '#lib/aws/epoch-text.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { FlipOutcome, LeaderInDns, LeaderRecord } from '#lib/ports/leader-record.ts';

const ADDRESS_TYPES: readonly (RRType | undefined)[] = ['A', 'AAAA', 'CNAME'];
const THROTTLED = new Set(['Throttling', 'ThrottlingException', 'PriorRequestNotComplete']);

/** What the zone holds of the record: what it says, and its two sets exactly as they are. */
type Found = {
  readonly leader: LeaderInDns;
  readonly address: ResourceRecordSet;
  readonly epoch: ResourceRecordSet;
};

type ListStart = Pick<
  ListResourceRecordSetsRequest,
  'StartRecordName' | 'StartRecordType' | 'StartRecordIdentifier'
>;

/**
 * The leader's record in a Route 53 zone: an address record at `name` (CNAME, A or AAAA, by the target's form),
 * and at `_epoch.<name>` a TXT record `understudy epoch=<n> leader=<target>`.
 *
 * Route 53 makes all changes of a batch or none, and refuses to delete a set that is not exactly the one that
 * is described, or to create one that is there. So a batch that deletes the old sets and creates the new ones
 * is a compare-and-set, against other flips and against people.
 */
export class Route53Record implements LeaderRecord {
  readonly #route53: Route53Client;
  readonly #zoneId: string;
  readonly #name: string;
  readonly #epochName: string;
  readonly #ttlSeconds: number;
  readonly #inventory: ReadonlySet<string>;

  /** `inventory`: the targets that the record may name, DNS names or addresses. Throws CONFIG_INVALID. */
  /** As it was read last. */
  #lastRead: Found | undefined;

  constructor(deps: {
    route53: Route53Client;
    zoneId: string;
    name: string;
    ttlSeconds: number;
    inventory: readonly string[];
  }) {
    this.#route53 = deps.route53;
    this.#zoneId = deps.zoneId;
    this.#name = canonicalTarget(deps.name);
    this.#epochName = `_epoch.${this.#name}`;
    this.#ttlSeconds = deps.ttlSeconds;
    this.#inventory = new Set(deps.inventory.map(parseTarget));
  }

  async read(): Promise<LeaderInDns | undefined> {
    this.#lastRead = await this.#find();
    return this.#lastRead?.leader;
  }

  async flip(from: LeaderInDns | undefined, to: LeaderInDns): Promise<FlipOutcome> {
    const wanted = { epoch: to.epoch, target: canonicalTarget(to.target) };
    this.#refuseUnknown(wanted.target);
    const read = this.#lastRead;
    const isAsRead = from !== undefined && isSame(read?.leader, from) && wanted.epoch > from.epoch;
    // What was read is compared by the change itself: it costs no second look.
    const before = isAsRead
      ? { kind: 'as-planned' as const, found: read }
      : await this.#compare(from, wanted);
    if (before.kind !== 'as-planned') return before;
    try {
      return { kind: 'submitted', change: await this.#submit(before.found, wanted) };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // Somebody was faster; or this flip itself was, by a try whose answer got lost.
      const after = await this.#compare(from, wanted);
      if (after.kind !== 'as-planned') return after;
      throw new UnderstudyError(
        'CONFIG_INVALID',
        `Route 53 refuses to point ${this.#name} at ${wanted.target}: ${error.message}`,
        'See that the name lies in the hosted zone, and that no record of another kind stands there.',
        { cause: error },
      );
    }
  }

  async status(change: string): Promise<'pending' | 'in-sync'> {
    const { ChangeInfo } = await notThrottled(() => this.#route53.send(new GetChangeCommand({ Id: change })));
    return ChangeInfo?.Status === 'INSYNC' ? 'in-sync' : 'pending';
  }

  #refuseUnknown(target: string): void {
    if (this.#inventory.has(target)) return;
    throw new UnderstudyError(
      'DNS_TARGET_UNKNOWN',
      `${this.#name} may not name ${target}`,
      `Use one of ${[...this.#inventory].join(', ')}, or add it to the inventory.`,
    );
  }

  /** What there is to say of a flip without changing anything; `as-planned` if the record is what `from` says. */
  async #compare(
    from: LeaderInDns | undefined,
    to: LeaderInDns,
  ): Promise<FlipOutcome | { readonly kind: 'as-planned'; readonly found: Found | undefined }> {
    let found: Found | undefined;
    try {
      found = await this.#find();
    } catch (error) {
      if (isFailure(error, 'DNS_RECORD_FOREIGN')) return { kind: 'stale', now: undefined };
      throw error;
    }
    const now = found?.leader;
    if (isSame(now, to)) return { kind: 'already' };
    if (!isSame(now, from) || (from !== undefined && to.epoch <= from.epoch)) return { kind: 'stale', now };
    return { kind: 'as-planned', found };
  }

  async #submit(before: Found | undefined, to: LeaderInDns): Promise<string> {
    const changes = replace(before?.epoch, this.#set(this.#epochName, 'TXT', writeEpochText(to)));
    if (before?.leader.target !== to.target) {
      changes.push(...replace(before?.address, this.#set(this.#name, typeOfTarget(to.target), to.target)));
    }
    const { ChangeInfo } = await notThrottled(() =>
      this.#route53.send(
        new ChangeResourceRecordSetsCommand({
          HostedZoneId: this.#zoneId,
          ChangeBatch: { Comment: `understudy epoch ${to.epoch}`, Changes: changes },
        }),
      ),
    );
    return ChangeInfo!.Id!;
  }

  async #find(): Promise<Found | undefined> {
    const sets = await this.#list();
    const [address, ...others] = sets.filter(
      ({ Name, Type }) => canonicalTarget(Name!) === this.#name && ADDRESS_TYPES.includes(Type),
    );
    const [epoch, ...otherEpochs] = sets.filter(
      ({ Name, Type }) => canonicalTarget(Name!) === this.#epochName && Type === 'TXT',
    );
    if (address === undefined && epoch === undefined) return undefined;
    if (address === undefined) throw this.#foreign('it has an epoch and no address');
    if (epoch === undefined) throw this.#foreign('it has an address and no epoch');
    if (others.length + otherEpochs.length > 0) throw this.#foreign('it has more sets than two');
    const text = onlyValue(epoch) ?? '';
    const leader = readEpochText(text);
    if (leader === undefined) throw this.#foreign(`its epoch record is of unknown form: ${text}`);
    const target = canonicalTarget(onlyValue(address) ?? 'several values or an alias');
    if (target !== leader.target) throw this.#foreign(`it points at ${target}, not at ${leader.target}`);
    if (!this.#inventory.has(target)) throw this.#foreign(`${target} is not in the inventory`);
    return { leader, address, epoch };
  }

  /** All record sets at the name and below it. Changes that are not in sync yet are in the list, too. */
  async #list(): Promise<readonly ResourceRecordSet[]> {
    const found: ResourceRecordSet[] = [];
    let start: ListStart = { StartRecordName: this.#name };
    for (;;) {
      const command = new ListResourceRecordSetsCommand({ HostedZoneId: this.#zoneId, ...start });
      const page = await notThrottled(() => this.#route53.send(command));
      found.push(...(page.ResourceRecordSets ?? []));
      // Names are in the order of their labels from the right: what lies below a name follows it at once.
      const next = page.IsTruncated ? `.${canonicalTarget(page.NextRecordName!)}` : '';
      if (!next.endsWith(`.${this.#name}`)) return found;
      start = {
        StartRecordName: page.NextRecordName,
        StartRecordType: page.NextRecordType,
        StartRecordIdentifier: page.NextRecordIdentifier,
      };
    }
  }

  #set(Name: string, Type: RRType, Value: string): ResourceRecordSet {
    return { Name, Type, TTL: this.#ttlSeconds, ResourceRecords: [{ Value }] };
  }

  #foreign(why: string): UnderstudyError {
    return new UnderstudyError(
      'DNS_RECORD_FOREIGN',
      `the DNS record ${this.#name} was changed by hand: ${why}`,
      `Make it and ${this.#epochName} agree again, in one change.`,
    );
  }
}

/** Deletes the old set exactly as it was read, then creates the new one. An UPSERT would compare nothing. */
function replace(before: ResourceRecordSet | undefined, after: ResourceRecordSet): Change[] {
  const create: Change = { Action: 'CREATE', ResourceRecordSet: after };
  return before === undefined ? [create] : [{ Action: 'DELETE', ResourceRecordSet: before }, create];
}

/** The one value of a plain set: one that is no alias and has no routing policy. */
function onlyValue({ SetIdentifier, ResourceRecords = [] }: ResourceRecordSet): string | undefined {
  return SetIdentifier === undefined && ResourceRecords.length === 1 ? ResourceRecords[0]?.Value : undefined;
}

function isSame(a: LeaderInDns | undefined, b: LeaderInDns | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.epoch === b.epoch && canonicalTarget(a.target) === canonicalTarget(b.target);
}

/** Runs a call; throws DNS_THROTTLED where Route 53 kept throttling through all tries of the SDK. */
async function notThrottled<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (!(cause instanceof Route53ServiceException && THROTTLED.has(cause.name))) throw cause;
    throw new UnderstudyError(
      'DNS_THROTTLED',
      `Route 53 answers ${cause.name}`,
      'Try again some seconds later.',
      { cause },
    );
  }
}

/** True for a batch that Route 53 found invalid. By status: it names the error in more than one form of document. */
function isRefusal(error: unknown): error is Route53ServiceException {
  return error instanceof Route53ServiceException && error.$metadata.httpStatusCode === 400;
}
