import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import { itemStoreContract } from '../../contracts/item-store.contract.ts';

itemStoreContract('the store in memory', {
  open: async (key) => {
    const control = new MemoryControl();
    const store = new MemoryItemStore({
      keyNames: key.map(({ name }) => name),
      holds: (lease) => control.holds(lease),
      pageSize: 3,
    });
    return { store, control, put: async (item, stamp) => store.put(item, stamp) };
  },
});
