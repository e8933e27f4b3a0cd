import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { DrillEvidence } from '#lib/ports/drill-evidence.ts';

/** `_drills/<group>/<due>/begun.json`, `report.json` and `report.html` of the Region's bucket, which takes no object twice. */
export class S3DrillEvidence implements DrillEvidence {
  readonly #s3: S3Client;
  readonly #bucket: string;
  readonly #group: GroupId;

  constructor(deps: { s3: S3Client; bucket: string; group: GroupId }) {
    this.#s3 = deps.s3;
    this.#bucket = deps.bucket;
    this.#group = deps.group;
  }

  async begin(due: string, atMs: number): Promise<'begun' | 'exists'> {
    const put = await this.#put(`${due}/begun.json`, jsonOf({ version: 1, due, atMs }));
    return put === 'put' ? 'begun' : 'exists';
  }

  async keep(report: DrillReport, page: string): Promise<string> {
    const name = `${report.due}/report.json`;
    // The report last: whoever finds it finds its page, too.
    await this.#put(`${report.due}/report.html`, { type: 'text/html; charset=utf-8', text: page });
    await this.#put(name, jsonOf(report));
    return `s3://${this.#bucket}/${this.#key(name)}`;
  }

  async #put(name: string, { text, type }: Content): Promise<'put' | 'exists'> {
    try {
      await this.#s3.send(
        new PutObjectCommand({
          Bucket: this.#bucket,
          Key: this.#key(name),
          Body: text,
          ContentType: type,
          IfNoneMatch: '*',
        }),
      );
      return 'put';
    } catch (error) {
      if (error instanceof Error && error.name === 'PreconditionFailed') return 'exists';
      throw error;
    }
  }

  #key(name: string): string {
    return `_drills/${this.#group}/${name}`;
  }
}

type Content = { readonly type: string; readonly text: string };

function jsonOf(content: object): Content {
  return { type: 'application/json', text: `${JSON.stringify(content, null, 2)}\n` };
}
