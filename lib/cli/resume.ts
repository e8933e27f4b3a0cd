import { type AmendOptions, amendRegister } from '#lib/cli/pause.ts';

/** `understudy resume`: ends a pause. */
export async function resumeCommand(options: AmendOptions): Promise<number> {
  return amendRegister(options, { paused: null }, 'Automatic failover is no longer paused.');
}
