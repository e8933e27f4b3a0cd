import { Aws, RemovalPolicy, Stage, Tags, Token } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { planGroupOf } from '#lib/constructs/check-group.ts';
import { grantGroupKeys } from '#lib/constructs/group-key.ts';
import type { ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { tableNames } from '#lib/constructs/names.ts';
import { type Place, tableArn } from '#lib/constructs/place.ts';
import { prebuiltCode } from '#lib/constructs/prebuilt-code.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';
import { RegionStack } from '#lib/constructs/region-stack.ts';
import { RegisterStack } from '#lib/constructs/register-stack.ts';
import { WitnessStack } from '#lib/constructs/witness-stack.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import type { GroupId } from '#lib/domain/ids.ts';

/** What an application does with a table. */
const CLIENT_ACTIONS = [
  'dynamodb:BatchGetItem',
  'dynamodb:BatchWriteItem',
  'dynamodb:ConditionCheckItem',
  'dynamodb:DeleteItem',
  'dynamodb:GetItem',
  'dynamodb:PutItem',
  'dynamodb:Query',
  'dynamodb:Scan',
  'dynamodb:UpdateItem',
];

/**
 * A group of replicas with failover between them: a stack in each Region, a smaller one in that of a witness, and one for
 * the register where that is a table of its own.
 *
 * Everything has a name that follows from the group's, and no stack refers to another: each deploys, is updated and
 * destroyed without the others. Who leads is state, not template: no deployment changes it, and a failover changes
 * no template. The first leader is named once, by `understudy found`.
 *
 *     new ReplicationGroup(app, 'orders', {
 *       regions: ['eu-west-1', 'us-east-1'],
 *       witness: 'eu-central-1',
 *       engine: Engine.dynamodb({ table: 'orders', partitionKey: { name: 'pk', type: AttributeType.STRING } }),
 *     });
 */
export class ReplicationGroup extends Construct {
  readonly group: GroupId;
  /** The replicas' stacks by Region: in each, tables, functions, workflow and alarms are properties. */
  readonly replicas: Readonly<Record<string, RegionStack>>;
  /** The witnesses' stacks by Region. */
  readonly witnesses: Readonly<Record<string, WitnessStack>>;
  /** The stack of the table that is the register; there is none where the control tables are. */
  readonly register: RegisterStack | undefined;
  readonly #account: string;
  readonly #failover: FailoverConfig;
  readonly #place: Omit<Place, 'region'>;

  /**
   * @param scope an `App` or a `Stage`.
   *
   * Throws CONFIG_INVALID, CONFIG_REGION_REPEATED or REGIONS_TOO_FEW; the message names the prop.
   */
  constructor(scope: Construct, id: string, props: ReplicationGroupProps) {
    super(scope, id);
    if (!Stage.isStage(scope)) {
      throw invalidProp('scope', 'a group makes stacks of its own', 'Create it in an App or in a Stage.');
    }
    const { config, drill, failover, retention, store } = planGroupOf(id, props);
    this.group = config.group;
    this.#failover = failover;
    this.#account = props.account ?? scope.account ?? Aws.ACCOUNT_ID;
    const { removal = RemovalPolicy.RETAIN, code = prebuiltCode, dashboard = true, alarms } = props;
    const given = {
      config,
      failover,
      retention,
      drill,
      account: this.#account,
      removal,
      encryption: props.encryption ?? 'aws',
      objectLock: props.objectLock,
      store,
      alarmTopic: alarms?.topic,
      pageTopic: alarms?.pageTopic,
      dashboard,
      code,
    };
    this.#place = given;
    this.register = config.register && new RegisterStack(this, { ...given, table: config.register.table });
    this.replicas = Object.fromEntries(
      config.regions.map(({ name }) => [name, new RegionStack(this, { ...given, region: name })]),
    );
    this.witnesses = Object.fromEntries(
      config.witnesses.map((region) => [region, new WitnessStack(this, { ...given, region })]),
    );
    this.#refuseClash();
    Tags.of(this).add('understudy:group', this.group);
  }

  /**
   * Lets a function of an application read and write the table wherever the leader is, and tells it how to find the leader:
   * `connectLeader(JSON.parse(process.env.UNDERSTUDY_CLIENT!))`. Indexes of the table are not included. How it is let into a
   * database, and reaches it, is its own affair: `connectPostgresLeader({ ...JSON.parse(…), login })`.
   *
   * Throws CONFIG_INVALID that names `dns` if the group has none.
   */
  grantClient(application: LambdaFunction): void {
    const { countedWrites = false, record, targets } = this.#failover;
    if (record === undefined) {
      throw invalidProp('dns', 'a client finds the leader by it', 'Give the group a record.');
    }
    const arns = (resourceName: string) =>
      this.#place.config.regions.map(({ name }) => tableArn(application, resourceName, name));
    const allow = (actions: readonly string[], resources: readonly string[]) =>
      application.addToRolePolicy(new PolicyStatement({ actions: [...actions], resources: [...resources] }));
    const { engine } = this.#place.config;
    if (engine.kind === 'dynamodb') allow(CLIENT_ACTIONS, arns(engine.table));
    const look = countedWrites ? ['dynamodb:GetItem', 'dynamodb:UpdateItem'] : ['dynamodb:GetItem'];
    const { register } = this.#place.config;
    allow(look, arns(register?.table ?? tableNames(this.group).control));
    if (this.#place.encryption === 'customer') grantGroupKeys(application.role!, this.#place);
    const { name, ttlSeconds } = record;
    const options = {
      group: this.group,
      name,
      ttlSeconds,
      endpoints: targets,
      ...(register && { registerTable: register.table }),
    };
    application.addEnvironment('UNDERSTUDY_CLIENT', JSON.stringify(options));
  }

  /** Two groups of one account may share neither their name nor a Region's table. */
  #refuseClash(): void {
    for (const other of this.node.root.node.findAll()) {
      if (
        !(other instanceof ReplicationGroup) ||
        other === this ||
        !mayBeSame(this.#account, other.#account)
      ) {
        continue;
      }
      const path = other.node.path;
      if (other.group === this.group) {
        throw invalidProp(
          'group',
          `the group at ${path} is called ${this.group}, too`,
          'Give each its own name.',
        );
      }
      this.#refuseShared(other);
    }
  }

  #refuseShared(other: ReplicationGroup): void {
    const { path } = other.node;
    const region = Object.keys(this.replicas).find(
      (name) => name in other.replicas && other.#storeIn(name) === this.#storeIn(name),
    );
    if (region === undefined) return;
    const { engine } = this.#place.config;
    if (engine.kind === 'dynamodb') {
      throw invalidProp(
        'engine.table',
        `the group at ${path} has table ${engine.table} of ${region}, too`,
        'A table has one log: give each group its own table.',
      );
    }
    throw invalidProp(
      'engine.databases',
      `the group at ${path} has the database of ${region}, too`,
      'A database has one log: give each group its own database.',
    );
  }

  /** What a Region's store is called there. */
  #storeIn(region: string): string {
    const { engine } = this.#place.config;
    if (engine.kind === 'dynamodb') return `dynamodb ${engine.table}`;
    const { host, pathname } = new URL(engine.databases[region]!);
    return `postgres ${host}${pathname}`;
  }
}

function mayBeSame(account: string, other: string): boolean {
  return account === other || Token.isUnresolved(account) || Token.isUnresolved(other);
}
