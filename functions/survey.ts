import type { controlDeps } from '#functions/control-deps.ts';
import { theRuntime } from '#functions/runtime.ts';
import type { Survey } from '#lib/domain/control/survey.ts';
import { surveyGroup } from '#lib/usecases/control/survey.ts';

/** How long one Region may take to say where it stands, ms. */
const PATIENCE_MS = 3_000;

/**
 * Asks every Region where it stands.
 *
 * @param alarmNames which alarms are asked for, if any.
 */
export function surveyBy(
  { clock, peers, sleep }: Pick<ReturnType<typeof controlDeps>, 'clock' | 'peers' | 'sleep'>,
  alarmNames?: readonly string[],
): Promise<Survey> {
  const { config } = theRuntime();
  return surveyGroup({
    replicas: config.regions.map(({ name }) => name),
    witnesses: config.witnesses,
    peers: {
      acceptor: (at) => peers.acceptor(at),
      log: (at) => peers.log(at),
      control: (at) => peers.control(at),
      ...(alarmNames && { alarms: (at) => peers.alarms(at) }),
    },
    ...(alarmNames && { alarmNames }),
    clock,
    sleep,
    patienceMs: PATIENCE_MS,
  });
}
