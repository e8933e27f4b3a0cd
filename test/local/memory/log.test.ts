import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { replicaLogContract } from '../../contracts/replica-log.contract.ts';

replicaLogContract('in memory', async () => {
  const logs = new Map<string, MemoryLog>();
  return {
    open(group, place, small) {
      const log = new MemoryLog(group, small);
      if (place === undefined) logs.set(group, log);
      return log;
    },
    keep: (log) => log as MemoryLog,
    async forge(group, hash, bytes) {
      // Nobody has put this segment yet, and the twin trusts the name that it is given.
      await logs.get(group)!.putSegment(hash, bytes, { generation: 0 });
    },
    async [Symbol.asyncDispose]() {},
  };
});
