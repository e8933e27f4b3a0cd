import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArnFormat, Stack } from 'aws-cdk-lib';
import { CfnSecurityGroup, CfnSecurityGroupIngress } from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Code, LayerVersion } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { AUTHORITY, type DatabasePlan, type LoginGrant } from '#lib/constructs/database-plan.ts';
import type { Handler, HandlerNetwork } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

const HTTPS = 443;
const DNS = 53;

/**
 * The way to the databases of a group from a Region: where the functions run that need one, and what lets them in. The
 * databases themselves are there already.
 */
export class DatabaseStore extends Construct {
  /** What the functions run in; the databases of all Regions must let its security groups in. */
  readonly network: HandlerNetwork;
  readonly #place: Place;
  readonly #plan: DatabasePlan;

  /** @param asksDns whether functions ask the name servers of the record's zone. */
  constructor(scope: Construct, id: string, place: Place, plan: DatabasePlan, asksDns: boolean) {
    super(scope, id);
    this.#place = place;
    this.#plan = plan;
    const { securityGroupIds, subnetIds, vpcId } = plan.networks[place.region]!;
    this.network = {
      subnetIds,
      securityGroupIds: securityGroupIds.length > 0 ? securityGroupIds : [this.#ownGroup(vpcId, asksDns)],
      ...(plan.authority !== undefined && { layers: [this.#layer(plan.authority)] }),
    };
    this.#enterDatabase();
  }

  /** Being let into the database here. */
  grantHere(handler: Handler): void {
    this.#grant(handler, [this.#place.region]);
  }

  /** Being let into the database of every Region. */
  grantEverywhere(handler: Handler): void {
    this.#grant(handler, Object.keys(this.#plan.logins));
  }

  /** The way into the database of this Region, where that is made in the same app: the rule is of this stack. */
  #enterDatabase(): void {
    const admission = this.#plan.admits[this.#place.region];
    if (admission === undefined) return;
    const { port, securityGroupIds } = admission;
    for (const [at, groupId] of securityGroupIds.entries()) {
      for (const [index, sourceSecurityGroupId] of this.network.securityGroupIds.entries()) {
        new CfnSecurityGroupIngress(this, `Ingress${at}-${index}`, {
          groupId,
          sourceSecurityGroupId,
          ipProtocol: 'tcp',
          fromPort: port,
          toPort: port,
          description: `Understudy: functions of group ${this.#place.config.group}`,
        });
      }
    }
  }

  /** All Regions in one statement: none of them is needed where it is lost. */
  #grant(handler: Handler, regions: readonly string[]): void {
    const logins = regions.map((region) => [region, this.#plan.logins[region]!] as const);
    handler.allow(
      ['secretsmanager:GetSecretValue'],
      logins.flatMap(([region, login]) => (login.kind === 'secret' ? [this.#secretArn(region, login)] : [])),
    );
    handler.allow(
      ['rds-db:connect'],
      logins.flatMap(([region, login]) => (login.kind === 'iam' ? [this.#userArn(region, login)] : [])),
    );
    const keys = logins.flatMap(([region, login]) =>
      login.kind === 'secret' && login.key !== undefined ? [{ region, key: login.key }] : [],
    );
    if (keys.length === 0) return;
    const { urlSuffix } = Stack.of(this);
    handler.role.addToPolicy(
      new PolicyStatement({
        actions: ['kms:Decrypt'],
        resources: keys.map(({ key }) => key),
        conditions: {
          StringEquals: {
            'kms:ViaService': keys.map(({ region }) => `secretsmanager.${region}.${urlSuffix}`),
          },
        },
      }),
    );
  }

  #secretArn(region: string, { id }: LoginGrant & { readonly kind: 'secret' }): string {
    if (id.startsWith('arn:')) return id;
    return Stack.of(this).formatArn({
      service: 'secretsmanager',
      region,
      resource: 'secret',
      // Secrets Manager puts six characters after the name.
      resourceName: `${id}-??????`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #userArn(region: string, { resourceId, role }: LoginGrant & { readonly kind: 'iam' }): string {
    return Stack.of(this).formatArn({
      service: 'rds-db',
      region,
      resource: 'dbuser',
      resourceName: `${resourceId}/${role}`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** Lets nobody in. Out, to AWS and to the databases: their addresses may change, so by ports. */
  #ownGroup(vpcId: string, asksDns: boolean): string {
    const { group } = this.#place.config;
    const out = (ipProtocol: 'tcp' | 'udp', port: number, description: string) => {
      return { ipProtocol, fromPort: port, toPort: port, cidrIp: '0.0.0.0/0', description };
    };
    const { attrGroupId } = new CfnSecurityGroup(this, 'SecurityGroup', {
      vpcId,
      groupName: resourceName(group, 'functions'),
      groupDescription: `Understudy: functions of group ${group}`,
      securityGroupEgress: [
        out('tcp', HTTPS, 'AWS'),
        ...this.#plan.ports.map((port) => out('tcp', port, 'Databases')),
        ...(asksDns
          ? (['udp', 'tcp'] as const).map((each) => out(each, DNS, 'Name servers of the zone'))
          : []),
      ],
    });
    return attrGroupId;
  }

  /** The authority as a file: it is too long for a function's environment. */
  #layer(authority: string): LayerVersion {
    const name = createHash('sha256').update(authority).digest('hex').slice(0, 16);
    const folder = join(tmpdir(), `understudy-authority-${name}`);
    mkdirSync(join(folder, AUTHORITY.folder), { recursive: true });
    writeFileSync(join(folder, AUTHORITY.folder, AUTHORITY.file), authority);
    return new LayerVersion(this, 'Authority', {
      description: `Understudy: who signs the certificates of the databases of group ${this.#place.config.group}`,
      code: Code.fromAsset(folder),
      removalPolicy: this.#place.removal,
    });
  }
}
