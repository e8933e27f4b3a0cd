import { table } from '#lib/cli/table.ts';
import type { RegionProgress } from '#lib/local/demo/progress.ts';

const HEAD = ['Region', 'role', 'captured', 'durable', 'applied', 'lag ms', 'records/s', 'bytes/s', ''];

/** What the live view shows at a moment. */
export type Frame = {
  readonly title: string;
  readonly rows: readonly RegionProgress[];
  readonly status: string;
};

export function frameLines({ title, rows, status }: Frame): readonly string[] {
  const cells = rows.map((row) => [
    row.region,
    row.role,
    row.captured ?? 'unknown',
    row.durable ?? 'unknown',
    row.applied ?? 'unknown',
    row.role === 'leader' ? '' : row.lagMs === undefined ? 'unknown' : `${Math.round(row.lagMs)}`,
    row.recordsPerSecond === undefined ? '' : `${row.recordsPerSecond}`,
    row.bytesPerSecond === undefined ? '' : `${row.bytesPerSecond}`,
    row.note ?? '',
  ]);
  return [title, '', ...table(HEAD, cells), '', status];
}

/** Where progress goes: a terminal that is drawn over, plain lines, or JSON. */
export interface View {
  show(frame: Frame): void;
  /** A line that stays. */
  say(text: string): void;
}

type Out = { write(text: string): void };

/** Draws each frame over the last one. */
export class TerminalView implements View {
  readonly #out: Out & { readonly columns?: number };
  #height = 0;

  constructor(out: Out & { readonly columns?: number }) {
    this.#out = out;
  }

  show(frame: Frame): void {
    // A line longer than the terminal would wrap, and the next frame would be drawn too low.
    const width = this.#out.columns ?? 80;
    const lines = frameLines(frame).map((line) => line.slice(0, width));
    this.#out.write(`${this.#back()}${lines.join('\n')}\n`);
    this.#height = lines.length;
  }

  say(text: string): void {
    this.#out.write(`${this.#back()}${text}\n`);
    this.#height = 0;
  }

  #back(): string {
    return this.#height === 0 ? '' : `\u001b[${this.#height}A\u001b[0J`;
  }
}

/** One line a Region and frame. */
export class PlainView implements View {
  readonly #out: Out;

  constructor(out: Out) {
    this.#out = out;
  }

  show({ rows, status }: Frame): void {
    for (const row of rows) {
      const { region, role, captured = '?', durable = '?', applied = '?', lagMs, recordsPerSecond = 0 } = row;
      const lag =
        role === 'leader' ? '' : ` lag=${lagMs === undefined ? 'unknown' : `${Math.round(lagMs)}ms`}`;
      this.#out.write(
        `${region} ${role} captured=${captured} durable=${durable} applied=${applied}${lag} ${recordsPerSecond} records/s ${row.bytesPerSecond ?? 0} bytes/s${row.note ? ` (${row.note})` : ''}\n`,
      );
    }
    this.#out.write(`${status}\n`);
  }

  say(text: string): void {
    this.#out.write(`${text}\n`);
  }
}

/** One JSON object a line. */
export class JsonView implements View {
  readonly #out: Out;

  constructor(out: Out) {
    this.#out = out;
  }

  show({ rows, status }: Frame): void {
    this.#out.write(`${JSON.stringify({ kind: 'progress', status, regions: rows })}\n`);
  }

  say(text: string): void {
    this.#out.write(`${JSON.stringify({ kind: 'message', text })}\n`);
  }
}
