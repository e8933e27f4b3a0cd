import { parseRegionId } from '#lib/domain/ids.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { controlContract } from '../../contracts/control.contract.ts';

controlContract('the control in memory', async () => new MemoryControl(parseRegionId('eu-west-1')));
