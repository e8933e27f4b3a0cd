import { MemoryHistory } from '#lib/local/memory/memory-history.ts';
import { historyContract } from '../../contracts/history.contract.ts';

historyContract('memory', async () => ({ history: new MemoryHistory(), other: new MemoryHistory() }));
