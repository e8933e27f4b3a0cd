import { createHash } from 'node:crypto';
import { GetObjectCommand, NoSuchKey, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId } from '#lib/domain/ids.ts';

/** Tries of a PUT that meets another one of the same key under way. */
const MAX_TRIES = 5;

/** Segments in an S3 bucket under `<group>/<sha256>`: write-once, and checked against their name when read. */
export class SegmentBucket {
  readonly #s3: S3Client;
  readonly #group: GroupId;
  readonly #bucket: string;

  constructor(deps: { s3: S3Client; group: GroupId; bucket: string }) {
    this.#s3 = deps.s3;
    this.#group = deps.group;
    this.#bucket = deps.bucket;
  }

  /** See `ReplicaLog.putSegment`. */
  async put(hash: string, bytes: Uint8Array): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#s3.send(
          new PutObjectCommand({ Bucket: this.#bucket, Key: this.#key(hash), Body: bytes, IfNoneMatch: '*' }),
        );
        return;
      } catch (error) {
        const name = error instanceof Error ? error.name : '';
        // 412: the key is taken, and by content addressing the bytes are these.
        if (name === 'PreconditionFailed') return;
        // 409: another PUT of the key is under way, and may yet fail.
        if (name !== 'ConditionalRequestConflict' || tries === MAX_TRIES) throw error;
      }
    }
  }

  /** See `ReplicaLog.getSegment`. */
  async get(hash: string): Promise<Uint8Array> {
    const bytes = await this.#fetch(hash);
    if (createHash('sha256').update(bytes).digest('hex') === hash) return bytes;
    throw new UnderstudyError(
      'SEGMENT_FORGED',
      `object ${this.#key(hash)} of bucket ${this.#bucket} holds other bytes than its name says`,
      'Keep the object as evidence, copy the segment from another Region over it, and look at who may write there.',
    );
  }

  async #fetch(hash: string): Promise<Uint8Array> {
    try {
      const object = await this.#s3.send(
        new GetObjectCommand({ Bucket: this.#bucket, Key: this.#key(hash) }),
      );
      return (await object.Body?.transformToByteArray()) ?? new Uint8Array();
    } catch (error) {
      if (!(error instanceof NoSuchKey)) throw error;
      throw new UnderstudyError(
        'SEGMENT_MISSING',
        `bucket ${this.#bucket} has no object ${this.#key(hash)}`,
        'Copy the segment from another Region; if none has it, let the follower take a new snapshot.',
        { cause: error },
      );
    }
  }

  #key(hash: string): string {
    return `${this.#group}/${hash}`;
  }
}
