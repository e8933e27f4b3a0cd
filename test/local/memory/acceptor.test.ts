import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import { acceptorContract } from '../../contracts/acceptor.contract.ts';

acceptorContract('the acceptor in memory', async () => ({
  acceptor: new MemoryAcceptor(),
  others: [new MemoryAcceptor()],
}));
