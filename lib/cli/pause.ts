import { connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { operatorOf, reasonOf } from '#lib/cli/operator.ts';
import { amend } from '#lib/domain/control/register.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';

export type AmendOptions = GroupChoice & { json?: boolean; by?: string };

/** `understudy pause`: no automatic failover until `resume`. An operator's own goes on to work. */
export async function pauseCommand(options: AmendOptions & { reason?: string }): Promise<number> {
  const paused = { by: operatorOf(options.by), reason: reasonOf(options.reason, 'pause') };
  return amendRegister(options, { paused }, `${paused.by} has paused automatic failover: ${paused.reason}`);
}

/** Changes the guards in the register; who leads stays as it is. */
export async function amendRegister(
  options: AmendOptions,
  to: Parameters<typeof amend>[1],
  text: string,
): Promise<number> {
  const { close, register, survey } = await connect(options);
  try {
    // Opens the connections: what is left of a proposal's own patience then suffices from anywhere.
    await survey();
    const change = await changeRegister(register, (value) => amend(value, to));
    console.log(options.json ? jsonLine(change.register) : text);
    return 0;
  } finally {
    close();
  }
}
