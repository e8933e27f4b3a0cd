import { MemoryVantages } from '#lib/local/memory/memory-vantages.ts';
import { dnsVantagesContract } from '../../contracts/dns-vantages.contract.ts';

dnsVantagesContract('vantages in memory', async () => {
  let served: readonly string[] = [];
  return {
    vantages: new MemoryVantages(() => new Map([['memory', served]])),
    vantage: 'memory',
    serve: async (...targets) => {
      served = targets;
    },
  };
});
