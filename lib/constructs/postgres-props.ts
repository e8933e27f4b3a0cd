import type { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import type { IDatabaseCluster, IDatabaseInstance } from 'aws-cdk-lib/aws-rds';
import type { GuardMode } from '#lib/domain/topology.ts';

/** A server that is no cluster or instance of the CDK's. `port`: 5432 by default. */
export type DatabaseHost = { readonly host: string; readonly port?: number };

/** The database of a Region, and how functions are let in: by a secret, or by IAM. */
export type DatabaseProps = {
  /**
   * A cluster of Aurora or an instance of RDS, imported such as by `DatabaseCluster.fromDatabaseClusterAttributes(…)` or made in
   * the same app, or any host by its name, which must be in its certificate. One that is made in the app lets functions of its
   * own Region in by their security group.
   */
  readonly server: IDatabaseCluster | IDatabaseInstance | DatabaseHost;
  /**
   * Of a server that is made in the same app: where it is, as text. Its endpoint is known only once it is deployed, and the stacks
   * of other Regions, which are told it, too, must not wait for that.
   */
  readonly address?: DatabaseHost;
  /** Name of the database. */
  readonly database: string;
  /** The role as which functions log in; a secret that names another goes before it. */
  readonly role: string;
  /**
   * Name or complete ARN of a secret in the database's Region, with JSON as RDS writes it: `{"username": …, "password": …}`.
   * Default: functions log in by IAM's tokens.
   */
  readonly secret?: string;
  /** ARN of the key that encrypts the secret, if that is one of the account's own. */
  readonly secretKey?: string;
  /**
   * For IAM: the database's resource id, `cluster-…` or `db-…`. Default: that of `server`, where the cluster or instance was
   * imported with it.
   */
  readonly resourceId?: string;
};

/** Where the functions of a Region run: in subnets with a way to the databases of all Regions, and to AWS. */
export type FunctionNetworkProps = {
  /** An `IVpc` of the Region's, or its id. */
  readonly vpc: Pick<IVpc, 'vpcId' | 'selectSubnets'> | { readonly vpcId: string };
  /** Default: the private subnets of an `IVpc` that have a way out. Ids where only the id of the VPC is given. */
  readonly subnets?: SubnetSelection | readonly string[];
  /** Default: a group of Understudy's own in each Region, which lets nobody in; the databases must let it in. */
  readonly securityGroups?: readonly (Pick<ISecurityGroup, 'securityGroupId'> | string)[];
};

export type PostgresEngineProps = {
  /** The database of each replica's Region. */
  readonly databases: Readonly<Record<string, DatabaseProps>>;
  /** Where functions run, for each Region of the group; those of a witness, too, try whether the leader takes writes. */
  readonly network: Readonly<Record<string, FunctionNetworkProps>>;
  /** The publication that says which tables are replicated. Default: `understudy`. */
  readonly publication?: string;
  /** The replication slot in each Region. One that is made anew must have another name. Default: `understudy`. */
  readonly slot?: string;
  /** The roles as which applications log in: those that a fence shuts out. Default: none, and no fence. */
  readonly applicationRoles?: readonly string[];
  /** What a database refuses by itself once its lease is over. Default: `on`. */
  readonly guard?: GuardMode;
  /** The authority that signs the servers' certificates, as PEM. Default: those of RDS and Aurora. */
  readonly authority?: string;
};
