import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { AttributeType, StreamViewType, type Table } from 'aws-cdk-lib/aws-dynamodb';
import { FilterCriteria, FilterRule } from 'aws-cdk-lib/aws-lambda';
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectLockRetention } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { bucketName } from '#lib/constructs/bucket-name.ts';
import { groupKey } from '#lib/constructs/group-key.ts';
import type { Handler } from '#lib/constructs/handler.ts';
import { keptTable } from '#lib/constructs/kept-table.ts';
import { tableNames } from '#lib/constructs/names.ts';
import { bucketArns, type Place, tableArn, tableArns } from '#lib/constructs/place.ts';
import { refuseDeletes, refuseOverwrites } from '#lib/constructs/write-once.ts';

const READ = ['dynamodb:GetItem', 'dynamodb:Query'];
/** What an append takes: entries are put, and the head is moved, on conditions whose failure is read. */
const APPEND = [...READ, 'dynamodb:PutItem', 'dynamodb:UpdateItem'];
/** Segments are content-addressed below the group's name, so a policy can't name them one by one. */
const SEGMENTS = "Segments are named by their hash: the wildcard is bound to the group's own prefix.";

/** A Region's copy of the log: the bucket of segments, and the table of heads and entries. */
export class LogStore extends Construct {
  readonly bucket: Bucket;
  readonly table: Table;
  readonly #place: Place;
  readonly #tableArn: string;

  constructor(scope: Construct, id: string, place: Place) {
    super(scope, id);
    const key = groupKey(this, place);
    const bucket = new Bucket(this, 'Segments', {
      bucketName: bucketName(place.config.group, place.account, place.region),
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      ...(key === undefined
        ? { encryption: BucketEncryption.S3_MANAGED }
        : { encryption: BucketEncryption.KMS, encryptionKey: key, bucketKeyEnabled: true }),
      enforceSSL: true,
      ...locked(place.objectLock),
      removalPolicy: place.removal,
      autoDeleteObjects: place.removal === RemovalPolicy.DESTROY,
    });
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'The log table says who wrote which segment; access logs would cost more than the segments.',
    });
    refuseOverwrites(bucket);
    this.#place = place;
    this.bucket = bucket;
    this.table = keptTable(this, 'Table', place, {
      tableName: tableNames(place.config.group).log,
      partitionKey: { name: 'lane', type: AttributeType.STRING },
      sortKey: { name: 'at', type: AttributeType.STRING },
      // An event is a hint that there is more; readers pull entries from the table.
      stream: StreamViewType.KEYS_ONLY,
    });
    this.#tableArn = tableArn(this, tableNames(place.config.group).log, place.region);
  }

  /** Appending here: capture's way into the log, and to where a former leader's changes are kept. */
  grantAppend(handler: Handler): void {
    const { divergent, segments } = this.#bucket();
    handler.allow(APPEND, [this.#tableArn]);
    handler.allow(['s3:PutObject'], [segments, divergent], SEGMENTS);
  }

  /** Carrying entries between any two Regions, in either direction. */
  grantRelay(handler: Handler): void {
    this.grantFailover(handler);
    // Starting over from another Region's head deletes the own entries before it.
    handler.allow(['dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'], [this.#tableArn]);
  }

  /** Sealing every copy, bringing any up to any other, and reading it. */
  grantFailover(handler: Handler): void {
    const buckets = this.#place.config.regions.map(({ name }) => bucketArns(this, this.#place, name));
    handler.allow(APPEND, this.#everywhere());
    handler.allow(
      ['s3:GetObject', 's3:PutObject'],
      buckets.map(({ segments }) => segments),
      SEGMENTS,
    );
    // Without it, S3 answers 403 and not 404 to a segment that is missing.
    handler.allow(
      ['s3:ListBucket'],
      buckets.map(({ bucket }) => bucket),
    );
  }

  /** Applying what is here, and knowing where the leader's log ends. */
  grantApply(handler: Handler): void {
    handler.allow(READ, this.#everywhere());
    handler.allow(['s3:GetObject'], [this.#bucket().segments], SEGMENTS);
    handler.allow(['s3:ListBucket'], [this.#bucket().bucket]);
  }

  /** Reading every copy; sealing the one here, and taking it back to what it has in common with the leader's. */
  grantWatch(handler: Handler): void {
    const { bucket, divergent, segments } = this.#bucket();
    handler.allow(READ, this.#everywhere());
    handler.allow(
      ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'],
      [this.#tableArn],
    );
    handler.allow(['s3:GetObject'], [segments, divergent], SEGMENTS);
    handler.allow(['s3:PutObject'], [divergent], SEGMENTS);
    handler.allow(['s3:ListBucket'], [bucket]);
  }

  /** Reading where every copy ends, and leaving the evidence of drills here, which goes after `keep`. */
  grantDrill(handler: Handler, keep: Duration): void {
    handler.allow(['dynamodb:GetItem'], this.#everywhere());
    handler.allow(
      ['s3:PutObject'],
      [this.#bucket().drills],
      'Drills are named by when they were due: the wildcard is bound to a prefix of their own.',
    );
    this.bucket.addLifecycleRule({
      id: 'Drills',
      prefix: `_drills/${this.#place.config.group}/`,
      expiration: keep,
    });
  }

  /** Trimming the log here, by what every Region says that it needs: nobody else may delete a segment. */
  grantRetain(handler: Handler): void {
    const { bucket, segments } = this.#bucket();
    handler.allow(['dynamodb:GetItem'], this.#everywhere());
    handler.allow(
      ['dynamodb:Query', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'],
      [this.#tableArn],
    );
    handler.allow(['s3:DeleteObject'], [segments], SEGMENTS);
    // A bucket that goes with its stack is emptied by the deployment's own role.
    if (this.#place.removal === RemovalPolicy.RETAIN) refuseDeletes(this.bucket, [handler.role.roleArn]);
    handler.allow(['s3:ListBucket'], [bucket]);
  }

  /** Invokes `handler` with new entries. DynamoDB serves two readers of a shard; relay and apply are the two. */
  feed(handler: Handler): void {
    handler.readStream('Entries', this.table.tableStreamArn!, this.#tableArn, {
      batchSize: 100,
      // Heads move with every append, and lie in the same table: only entries that come in are news.
      filters: [
        FilterCriteria.filter({
          eventName: FilterRule.isEqual('INSERT'),
          dynamodb: { Keys: { at: { S: FilterRule.beginsWith('entry#') } } },
        }),
      ],
    });
  }

  #bucket() {
    return bucketArns(this, this.#place, this.#place.region);
  }

  #everywhere(): readonly string[] {
    return tableArns(this, this.#place, tableNames(this.#place.config.group).log);
  }
}

/**
 * Objects are write-once and named by their content: there are no versions to keep, but where a lock has to hold them.
 * A segment that retention deletes then becomes a version of old, which goes when its lock ends.
 */
function locked(lock: Duration | undefined) {
  if (lock === undefined) return { versioned: false };
  return {
    versioned: true,
    objectLockEnabled: true,
    objectLockDefaultRetention: ObjectLockRetention.governance(lock),
    lifecycleRules: [{ noncurrentVersionExpiration: Duration.days(1), expiredObjectDeleteMarker: true }],
  };
}
