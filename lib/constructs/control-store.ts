import { AttributeType, type Table } from 'aws-cdk-lib/aws-dynamodb';
import { AnyPrincipal, Effect, PolicyDocument, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { Handler } from '#lib/constructs/handler.ts';
import { keptTable } from '#lib/constructs/kept-table.ts';
import { tableNames } from '#lib/constructs/names.ts';
import { type Place, tableArn, tableArns } from '#lib/constructs/place.ts';

const VOTE = ['dynamodb:GetItem', 'dynamodb:UpdateItem'];

/**
 * A Region's control table: who leads, and how far the store here has applied the log. It holds the Region's acceptor,
 * too; where the register is an MRSC table, that does, and each Region uses its own replica of it.
 */
export class ControlStore extends Construct {
  readonly table: Table;
  readonly #place: Place;
  readonly #tableArn: string;

  constructor(scope: Construct, id: string, place: Place) {
    super(scope, id);
    this.#place = place;
    const tableName = tableNames(place.config.group).control;
    this.#tableArn = tableArn(this, tableName, place.region);
    this.table = keptTable(this, 'Table', place, {
      tableName,
      partitionKey: { name: 'id', type: AttributeType.STRING },
      resourcePolicy: nothingDeletedIn(this.#tableArn),
    });
  }

  /** Reading the role. */
  grantRead(handler: Handler): void {
    handler.allow(['dynamodb:GetItem'], [this.#tableArn]);
  }

  /** Reading the role and the position of every Region. */
  grantReadEverywhere(handler: Handler): void {
    handler.allow(['dynamodb:GetItem'], this.#everywhere());
  }

  /** Reading what every Region has accepted, and voted for, beside its role and position. */
  grantSurvey(handler: Handler): void {
    this.grantReadEverywhere(handler);
    handler.allow(['dynamodb:GetItem'], this.#registerTable());
  }

  /** Reading what this Region has accepted and lent. */
  grantLook(handler: Handler): void {
    const [table = this.#tableArn] = this.#registerTable();
    handler.allow(['dynamodb:GetItem'], [table]);
  }

  /** Taking the lease to apply, moving the position, and binding a write of the store to the lease. */
  grantApply(handler: Handler): void {
    handler.allow(
      ['dynamodb:GetItem', 'dynamodb:UpdateItem', 'dynamodb:ConditionCheckItem'],
      [this.#tableArn],
    );
  }

  /** Reading the role, and keeping note of changes that a former leader has left to report. */
  grantCapture(handler: Handler): void {
    handler.allow(['dynamodb:GetItem', 'dynamodb:UpdateItem'], [this.#tableArn]);
  }

  /** Beating, voting and reading in every Region; here, following who leads, and taking the store back. */
  grantWatch(handler: Handler): void {
    this.grantVote(handler);
    if (this.#registerTable().length > 0) {
      this.grantReadEverywhere(handler);
      handler.allow(['dynamodb:UpdateItem'], [this.#tableArn]);
    }
    handler.allow(['dynamodb:ConditionCheckItem'], [this.#tableArn]);
  }

  /** Voting for a Region without data, and reading in every Region. */
  grantVote(handler: Handler): void {
    const [table] = this.#registerTable();
    handler.allow(VOTE, table === undefined ? this.#everywhere() : [table]);
  }

  /** Reading where every Region stands, and writing down here why there was no drill. */
  grantDrill(handler: Handler): void {
    this.grantSurvey(handler);
    handler.allow(['dynamodb:UpdateItem'], [this.#tableArn]);
  }

  /** Changing the register, the roles and the positions of every Region, and writing decisions down. */
  grantFailover(handler: Handler): void {
    handler.allow(
      ['dynamodb:GetItem', 'dynamodb:UpdateItem', 'dynamodb:ConditionCheckItem'],
      this.#everywhere(),
    );
    handler.allow(VOTE, this.#registerTable());
  }

  /** This Region's replica of the register, where that is a table of its own. */
  #registerTable(): readonly string[] {
    const { config, region } = this.#place;
    return config.register === undefined ? [] : [tableArn(this, config.register.table, region)];
  }

  #everywhere(): readonly string[] {
    return tableArns(this, this.#place, tableNames(this.#place.config.group).control);
  }
}

/**
 * Without its item, a Region would forget what it has accepted and against whom it has voted: two could lead. What is
 * denied here is denied to whoever is allowed all else.
 */
export function nothingDeletedIn(tableArn: string): PolicyDocument {
  const statement = new PolicyStatement({
    sid: 'NothingDeleted',
    effect: Effect.DENY,
    principals: [new AnyPrincipal()],
    actions: ['dynamodb:DeleteItem', 'dynamodb:BatchWriteItem', 'dynamodb:PartiQLDelete'],
    resources: [tableArn],
  });
  return new PolicyDocument({ statements: [statement] });
}
