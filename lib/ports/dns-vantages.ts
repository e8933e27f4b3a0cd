import type { Sight } from '#lib/domain/control/dns-sight.ts';

/** The places from which the clients' DNS name is looked at, as clients look: by queries, not by a control plane. */
export interface DnsVantages {
  /**
   * Asks every vantage several times for the record of the form of `target` (name or address): what health checks
   * choose may differ from query to query. `targets`: all that were answered, each once; an answer without any is an
   * error. Never rejects, never empty.
   */
  ask(target: string): Promise<readonly Sight[]>;
}
