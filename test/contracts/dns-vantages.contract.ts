import { describe, expect, test } from 'vitest';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';

/** A name whose one vantage answers as it is told. */
export type VantageWorld = {
  readonly vantages: DnsVantages;
  readonly vantage: string;
  /** What the vantage chooses from by chance; none for a name that is not there. */
  serve(...targets: readonly string[]): Promise<void>;
};

const EU = 'eu.example.internal';
const US = 'us.example.internal';

/** What all who look at the clients' name must do. */
export function dnsVantagesContract(name: string, open: () => Promise<VantageWorld>): void {
  describe(`${name} as vantages of DNS`, () => {
    test.each([EU, '10.3.0.7', 'fd00:4::7'])('tells what is answered: %s', async (target) => {
      const { serve, vantage, vantages } = await open();
      await serve(target);
      expect(await vantages.ask(target)).toEqual([{ vantage, targets: [target] }]);
    });

    test('tells of another target than the one that is looked for', async () => {
      const { serve, vantage, vantages } = await open();
      await serve(US);
      expect(await vantages.ask(EU)).toEqual([{ vantage, targets: [US] }]);
    });

    test('tells of all targets that the answers differ in', async () => {
      const { serve, vantages } = await open();
      await serve(EU, US);
      const told = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const [sight] = await vantages.ask(EU);
        if (sight === undefined || 'error' in sight) throw new Error('no answer');
        for (const target of sight.targets) told.add(target);
        if (sight.targets.length === 2) break;
      }
      expect([...told].sort()).toEqual([EU, US]);
    });

    test('tells why there is no answer', async () => {
      const { serve, vantage, vantages } = await open();
      await serve();
      expect(await vantages.ask(EU)).toEqual([{ vantage, error: expect.any(String) }]);
    });
  });
}
