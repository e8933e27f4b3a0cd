import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isFailure } from '#lib/domain/errors.ts';

type Check = {
  readonly phase: string;
  readonly name: string;
  readonly passed: boolean;
  /** What was seen, or why it failed. */
  readonly seen: string;
  readonly seconds: number;
};

/** Collects what a run finds, and says it as it goes. */
export class Report {
  readonly #checks: Check[] = [];
  readonly #figures: Record<string, string | number> = {};
  readonly #begun = performance.now();
  readonly #print: (line: string) => void;
  #phase = '';

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  say(line: string): void {
    this.#print(`${this.#elapsed().toFixed(1).padStart(6)} s  ${line}`);
  }

  begin(phase: string): void {
    this.#phase = phase;
    this.say(`== ${phase}`);
  }

  /** A figure of the run, for the report. */
  figure(name: string, value: string | number): void {
    this.#figures[name] = value;
    this.say(`      ${name}: ${value}`);
  }

  /** One thing that has to hold: `look` throws if it does not, and answers what it has seen if it does. */
  async check<T>(
    name: string,
    look: () => Promise<T>,
    tell: (seen: T) => string = (seen) => (seen === undefined ? '' : String(seen)),
  ): Promise<T> {
    const begun = this.#elapsed();
    const note = (passed: boolean, seen: string) => {
      this.#checks.push({ phase: this.#phase, name, passed, seen, seconds: this.#elapsed() - begun });
      this.say(`  ${passed ? 'ok    ' : 'FAILED'} ${name}${seen === '' ? '' : `: ${seen}`}`);
    };
    try {
      const seen = await look();
      note(true, tell(seen));
      return seen;
    } catch (error) {
      note(false, error instanceof Error ? error.message : String(error));
      throw new CheckFailed(name, { cause: error });
    }
  }

  /** A failure outside of any check. */
  broke(error: unknown): void {
    if (error instanceof CheckFailed) return;
    // What is foreseen says itself what to do; of anything else one wants to know where it came from.
    const seen = error instanceof Error && !isFailure(error) ? error.stack! : (error as Error).message;
    this.#checks.push({ phase: this.#phase, name: 'the phase ends', passed: false, seen, seconds: 0 });
    this.say(`  FAILED ${this.#phase}: ${seen}`);
  }

  /** Writes report.json and prints the last lines, of which the very last counts. True if nothing failed. */
  async close(folder: string): Promise<boolean> {
    const seconds = Math.round(this.#elapsed() * 10) / 10;
    const failed = this.#checks.filter(({ passed }) => !passed);
    const file = join(folder, 'report.json');
    const content = { passed: this.#checks.length - failed.length, failed: failed.length, seconds };
    await writeFile(
      file,
      `${JSON.stringify({ ...content, figures: this.#figures, checks: this.#checks }, null, 2)}\n`,
    );
    this.#print('');
    for (const { phase, name, seen } of failed)
      this.#print(`FAILED  ${phase}: ${name}: ${seen.split('\n')[0]}`);
    for (const [name, value] of Object.entries(this.#figures)) this.#print(`${name}: ${value}`);
    this.#print(`${seconds} s; report: ${file}`);
    this.#print(`${content.passed} passed, ${content.failed} failed`);
    return failed.length === 0;
  }

  #elapsed(): number {
    return (performance.now() - this.#begun) / 1000;
  }
}

/** A check that has failed and is in the report: what depends on it need not be tried. */
class CheckFailed extends Error {}
