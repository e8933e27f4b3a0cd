import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { divergencesContract } from '../../contracts/divergences.contract.ts';

divergencesContract('memory', async () => ({
  divergences: new MemoryDivergences(),
  other: new MemoryDivergences(),
}));
