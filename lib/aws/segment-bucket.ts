import { createHash } from 'node:crypto';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  NoSuchKey,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { StoredSegment } from '#lib/ports/log-keeper.ts';

/** Tries of a PUT that meets another one of the same key under way. */
const MAX_TRIES = 5;

/**
 * Write-once objects named by their SHA-256 below a prefix, and checked against their name when read. A segment of
 * generation n > 0 is `<prefix>/<sha256>.<n>`: so that no name that retention may be about to delete is ever used again.
 */
export class SegmentBucket {
  readonly #s3: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  /** That of the last segment that was found: the next one is most likely of the same. */
  #generation = 0;

  constructor(deps: { s3: S3Client; bucket: string; prefix: string }) {
    this.#s3 = deps.s3;
    this.#bucket = deps.bucket;
    this.#prefix = deps.prefix;
  }

  /** See `ReplicaLog.putSegment`. */
  async put(hash: string, bytes: Uint8Array, generation = 0): Promise<void> {
    const Key = this.#key({ hash, generation });
    for (let tries = 1; ; tries++) {
      try {
        await this.#s3.send(
          new PutObjectCommand({ Bucket: this.#bucket, Key, Body: bytes, IfNoneMatch: '*' }),
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
    const bytes =
      (await this.#fetch({ hash, generation: this.#generation })) ?? (await this.#fetchNewest(hash));
    if (createHash('sha256').update(bytes).digest('hex') === hash) return bytes;
    throw new UnderstudyError(
      'SEGMENT_FORGED',
      `object ${this.#prefix}/${hash} of bucket ${this.#bucket} holds other bytes than its name says`,
      'Keep the object as evidence, copy the segment from another Region over it, and look at who may write there.',
    );
  }

  /** See `LogKeeper.segments`. What is not named like a segment is left out. */
  async list(after?: StoredSegment): Promise<readonly StoredSegment[]> {
    for (let from = after && this.#key(after); ; ) {
      const keys = await this.#names(`${this.#prefix}/`, from);
      const found = keys.flatMap((key) => this.#parse(key) ?? []);
      from = keys.at(-1);
      if (found.length > 0 || from === undefined) return found;
    }
  }

  /** See `LogKeeper.dropSegments`. */
  async drop(segments: readonly StoredSegment[]): Promise<void> {
    const Objects = segments.map((segment) => ({ Key: this.#key(segment) }));
    if (Objects.length === 0) return;
    const { Errors = [] } = await this.#s3.send(
      new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } }),
    );
    const [first] = Errors;
    if (first !== undefined) {
      throw new Error(`${Errors.length} objects were not deleted, ${first.Key} first: ${first.Code}`);
    }
  }

  /** It is of another generation: whichever there is, the newest of them. */
  async #fetchNewest(hash: string): Promise<Uint8Array> {
    const stored = (await this.#names(`${this.#prefix}/${hash}`)).flatMap((key) => this.#parse(key) ?? []);
    const [newest] = stored.toSorted((a, b) => b.generation - a.generation);
    const bytes = newest && (await this.#fetch(newest));
    if (bytes === undefined) {
      throw new UnderstudyError(
        'SEGMENT_MISSING',
        `bucket ${this.#bucket} has no object ${this.#prefix}/${hash}`,
        'Copy the segment from another Region; if none has it, let the follower take a new snapshot.',
      );
    }
    this.#generation = newest!.generation;
    return bytes;
  }

  async #fetch(segment: StoredSegment): Promise<Uint8Array | undefined> {
    try {
      const object = await this.#s3.send(
        new GetObjectCommand({ Bucket: this.#bucket, Key: this.#key(segment) }),
      );
      return (await object.Body?.transformToByteArray()) ?? new Uint8Array();
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined;
      throw error;
    }
  }

  async #names(Prefix: string, StartAfter?: string): Promise<readonly string[]> {
    const { Contents = [] } = await this.#s3.send(
      new ListObjectsV2Command({ Bucket: this.#bucket, Prefix, ...(StartAfter && { StartAfter }) }),
    );
    return Contents.map(({ Key }) => Key!);
  }

  #key({ hash, generation }: StoredSegment): string {
    return `${this.#prefix}/${hash}${generation === 0 ? '' : `.${generation}`}`;
  }

  #parse(key: string): StoredSegment | undefined {
    const [, hash, generation = '0'] =
      /^([0-9a-f]{64})(?:\.([1-9]\d*))?$/.exec(key.slice(this.#prefix.length + 1)) ?? [];
    return hash === undefined ? undefined : { hash, generation: Number(generation) };
  }
}
