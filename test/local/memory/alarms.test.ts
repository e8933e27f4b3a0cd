import { MemoryAlarms } from '#lib/local/memory/memory-alarms.ts';
import { alarmStatesContract, NAMES } from '../../contracts/alarm-states.contract.ts';

alarmStatesContract('memory', async () => {
  const alarms = new MemoryAlarms();
  const set = async (alarm: string, state: 'ok' | 'alarm' | 'unknown', reason: string) =>
    alarms.set({
      alarm,
      state,
      reason,
      sinceMs: Date.now(),
      text: `[page] X. See docs/RUNBOOK.md#alarm-${alarm}`,
    });
  for (const name of NAMES) await set(name, 'unknown', 'new');
  return { alarms, other: new MemoryAlarms(), set };
});
