import { MemoryLeaderRecord } from '#lib/local/memory/memory-leader-record.ts';
import { INVENTORY, leaderRecordContract } from '../../contracts/leader-record.contract.ts';

leaderRecordContract('the record in memory', async () => {
  const record = new MemoryLeaderRecord({ inventory: INVENTORY });
  return {
    record,
    settle: () => record.settle(),
    changeByHand: async (target) => record.changeByHand(target),
    ask: async () => ({ target: record.served?.target, epoch: record.served?.epoch }),
  };
});
