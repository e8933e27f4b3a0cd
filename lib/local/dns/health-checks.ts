/** What a health check asks, in Route 53's terms. */
export type HealthCheckConfig = {
  readonly port: number;
  /** With its leading slash. */
  readonly resourcePath: string;
  /** Whether the check is unhealthy where its endpoint is healthy. */
  readonly inverted: boolean;
  /** Whether the endpoint is taken for healthy unasked. */
  readonly disabled: boolean;
  /** How many answers in a row it takes to change the mind. */
  readonly failureThreshold: number;
};
export type HealthCheck = {
  readonly id: string;
  readonly callerReference: string;
  readonly version: number;
  readonly config: HealthCheckConfig;
};

type Watched = { check: HealthCheck; endpointUp: boolean; contrary: number };

/** How long an endpoint may take to answer, ms: as Route 53 allows. */
const ANSWER_MS = 2_000;

/**
 * HTTP health checks of endpoints on 127.0.0.1, all asked every `intervalMs`. An endpoint is healthy if it
 * answers with a status of 200 to 399, and is taken for healthy until it was asked.
 */
export class HealthChecks {
  readonly #watched = new Map<string, Watched>();
  readonly #intervalMs: number;
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  create(callerReference: string, config: HealthCheckConfig): HealthCheck {
    const id = `00000000-0000-4000-8000-${String(this.#watched.size + 1).padStart(12, '0')}`;
    const check = { id, callerReference, version: 1, config };
    this.#watched.set(id, { check, endpointUp: true, contrary: 0 });
    this.#timer ??= setTimeout(() => void this.#round(), 0);
    return check;
  }

  get(id: string): HealthCheck | undefined {
    return this.#watched.get(id)?.check;
  }

  update(id: string, patch: Partial<HealthCheckConfig>): HealthCheck | undefined {
    const watched = this.#watched.get(id);
    if (watched === undefined) return undefined;
    const { check } = watched;
    watched.check = { ...check, version: check.version + 1, config: { ...check.config, ...patch } };
    return watched.check;
  }

  /** False for a check that is not there. */
  isHealthy(id: string): boolean {
    const watched = this.#watched.get(id);
    if (watched === undefined) return false;
    const { inverted, disabled } = watched.check.config;
    return (disabled || watched.endpointUp) !== inverted;
  }

  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    await Promise.all([...this.#watched.values()].map((watched) => this.#ask(watched)));
    if (this.#closed.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#round(), this.#intervalMs);
  }

  async #ask(watched: Watched): Promise<void> {
    const { port, resourcePath, disabled, failureThreshold } = watched.check.config;
    if (disabled) return;
    const up = await this.#answers(`http://127.0.0.1:${port}${resourcePath}`);
    watched.contrary = up === watched.endpointUp ? 0 : watched.contrary + 1;
    if (watched.contrary < failureThreshold) return;
    watched.endpointUp = up;
    watched.contrary = 0;
  }

  async #answers(url: string): Promise<boolean> {
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(ANSWER_MS)]);
    try {
      const response = await fetch(url, { redirect: 'manual', signal });
      await response.body?.cancel();
      return response.status >= 200 && response.status < 400;
    } catch {
      return false;
    }
  }
}
