import { eventLines, printable, reportLines, wrap } from '#lib/local/drill/drill-lines.ts';
import type { DrillEvent, DrillReport } from '#lib/local/drill/drill-report.ts';
import { inColour, type Paint, plainly } from '#lib/local/drill/paint.ts';
import type { ReportFiles } from '#lib/local/drill/write-report.ts';

/** Where a drill is watched: a terminal, plain lines, or JSON. */
export interface DrillView {
  /** A line that stays. */
  say(line: string): void;
  event(event: DrillEvent): void;
  /** How it stands now; replaces the status before. */
  status(line: string): void;
  /** The end; nothing comes after it but `close`. */
  report(report: DrillReport, files: ReportFiles): void;
  close(): void;
}

type Out = { write(text: string): unknown; readonly columns?: number; readonly isTTY?: boolean };

/** The view that fits an output. */
export function drillViewOf({
  json,
  stdout,
  env = process.env,
}: {
  readonly json: boolean;
  readonly stdout: Out;
  readonly env?: Readonly<Record<string, string | undefined>>;
}): DrillView {
  if (json) return new JsonView(stdout, () => performance.now());
  if (!stdout.isTTY || env.TERM === 'dumb') return new PlainView(stdout, () => performance.now());
  return new TerminalView(stdout, env.NO_COLOR ? plainly : inColour);
}

const ERASE_REST = '\u001b[K';

/** A timeline that grows above a status line, which alone is drawn over. */
export class TerminalView implements DrillView {
  readonly #out: Out;
  readonly #paint: Paint;
  #status = '';

  constructor(out: Out, paint: Paint) {
    this.#out = out;
    this.#paint = paint;
  }

  say(line: string): void {
    this.#add(wrap(printable(line), this.#width, this.#width));
  }

  event(event: DrillEvent): void {
    this.#add(eventLines(event, this.#width, this.#paint));
  }

  status(line: string): void {
    const status = printable(line);
    if (status === this.#status) return;
    this.#status = status;
    this.#out.write(`\r${this.#drawnStatus()}`);
  }

  report(report: DrillReport, files: ReportFiles): void {
    this.#status = '';
    this.#add(reportLines(report, files, this.#width, this.#paint));
  }

  /** Leaves the last status where it is, if the drill has not come to a report. */
  close(): void {
    if (this.#status !== '') this.#out.write('\n');
    this.#status = '';
  }

  /** Draws over the status line and puts it below, in one write: there is no moment without it. */
  #add(lines: readonly string[]): void {
    const drawn = lines.map((line) => `${line}${ERASE_REST}\n`).join('');
    this.#out.write(`\r${drawn}${this.#drawnStatus()}`);
  }

  #drawnStatus(): string {
    // A line that wrapped could not be drawn over.
    const shown = this.#status.slice(0, this.#width);
    return `${shown === '' ? '' : this.#paint('faint', shown)}${ERASE_REST}`;
  }

  /** The last column stays free: what is erased behind a line would be its last character. */
  get #width(): number {
    return (this.#out.columns || 80) - 1;
  }
}

/** How often a status is told where it can't be drawn over, ms. */
const STATUS_MS = 1_000;

/** Tells a status if it is a new one and the last was told long enough ago. */
class Statuses {
  readonly #now: () => number;
  #last = '';
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(now: () => number) {
    this.#now = now;
  }

  isDue(line: string): boolean {
    const now = this.#now();
    if (line === this.#last || now - this.#lastMs < STATUS_MS) return false;
    this.#last = line;
    this.#lastMs = now;
    return true;
  }
}

/** Lines that go to a file or a pipe, never wrapped. */
export class PlainView implements DrillView {
  readonly #out: Out;
  readonly #statuses: Statuses;

  /** @param now monotonic, ms. */
  constructor(out: Out, now: () => number) {
    this.#out = out;
    this.#statuses = new Statuses(now);
  }

  say(line: string): void {
    this.#out.write(`${printable(line)}\n`);
  }

  event(event: DrillEvent): void {
    for (const line of eventLines(event, Number.POSITIVE_INFINITY, plainly)) this.say(line);
  }

  status(line: string): void {
    if (this.#statuses.isDue(line)) this.say(line);
  }

  report(report: DrillReport, files: ReportFiles): void {
    for (const line of reportLines(report, files, Number.POSITIVE_INFINITY, plainly)) this.say(line);
  }

  close(): void {}
}

/** One JSON object a line; the last one is the report. */
export class JsonView implements DrillView {
  readonly #out: Out;
  readonly #statuses: Statuses;

  /** @param now monotonic, ms. */
  constructor(out: Out, now: () => number) {
    this.#out = out;
    this.#statuses = new Statuses(now);
  }

  say(text: string): void {
    this.#write({ kind: 'message', text });
  }

  event(event: DrillEvent): void {
    this.#write({ kind: 'event', ...event });
  }

  status(text: string): void {
    if (this.#statuses.isDue(text)) this.#write({ kind: 'status', text });
  }

  report(report: DrillReport, files: ReportFiles): void {
    this.#write({ kind: 'files', ...files });
    this.#write(report);
  }

  close(): void {}

  #write(line: object): void {
    this.#out.write(`${JSON.stringify(line)}\n`);
  }
}
