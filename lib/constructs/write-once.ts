import { AnyPrincipal, Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Bucket } from 'aws-cdk-lib/aws-s3';

/**
 * Refuses every upload to a bucket that is not conditional on there being no such object: an object is written once,
 * whoever writes it, whatever else that principal may do.
 *
 * A part of a multipart upload bears no condition and creates no object (S3 User Guide, "Enforce conditional writes").
 */
export function refuseOverwrites(bucket: Bucket): void {
  bucket.addToResourcePolicy(
    new PolicyStatement({
      sid: 'WriteOnce',
      effect: Effect.DENY,
      principals: [new AnyPrincipal()],
      actions: ['s3:PutObject'],
      resources: [bucket.arnForObjects('*')],
      conditions: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
    }),
  );
}

/** Refuses every deletion of an object by anybody but these roles. */
export function refuseDeletes(bucket: Bucket, roleArns: readonly string[]): void {
  bucket.addToResourcePolicy(
    new PolicyStatement({
      sid: 'DeletedByRetentionOnly',
      effect: Effect.DENY,
      principals: [new AnyPrincipal()],
      actions: ['s3:DeleteObject', 's3:DeleteObjectVersion'],
      resources: [bucket.arnForObjects('*')],
      conditions: { ArnNotEquals: { 'aws:PrincipalArn': [...roleArns] } },
    }),
  );
}
