import { type AmendOptions, amendRegister } from '#lib/cli/pause.ts';

/** `understudy ack`: the last failover is understood; its cooldown ends now. */
export async function ackCommand(options: AmendOptions): Promise<number> {
  return amendRegister(
    options,
    { cooldownUntilMs: 0 },
    'The cooldown is over: automatic failover may happen.',
  );
}
