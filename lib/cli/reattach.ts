import { connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { table } from '#lib/cli/table.ts';
import { whyDetached } from '#lib/domain/control/advice.ts';
import type { RegionSurvey } from '#lib/domain/control/survey.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';

type Standing = { readonly region: RegionId; readonly attached: boolean; readonly why: string };

const POLL_MS = 500;

/**
 * `understudy reattach`: which Regions follow, and what the others wait for. Each is taken back by its own sentinel.
 * Exit status 0 once all follow, 1 if not.
 */
export async function reattachCommand(
  options: GroupChoice & { json?: boolean; wait?: string | true },
): Promise<number> {
  const untilMs = Date.now() + waitOf(options.wait) * 1000;
  const { close, register, survey } = await connect(options);
  try {
    const look = async () => (await survey()).regions.filter(({ witness }) => !witness).map(standingOf);
    let standings = await look();
    while (standings.some(({ attached }) => !attached) && Date.now() < untilMs) {
      await register.sleep(POLL_MS);
      standings = await look();
    }
    if (options.json) for (const standing of standings) console.log(jsonLine(standing));
    else {
      const rows = standings.map(({ attached, region, why }) => [region, attached ? 'yes' : 'no', why]);
      for (const line of table(['Region', 'attached', 'what it waits for'], rows)) console.log(line);
    }
    return standings.every(({ attached }) => attached) ? 0 : 1;
  } finally {
    close();
  }
}

function standingOf({ error, region, role }: RegionSurvey): Standing {
  if (role === undefined) {
    const why = error === undefined ? 'the group has no leader yet' : `it does not answer: ${error}`;
    return { region, attached: false, why };
  }
  const attached = role.attached === role.epoch;
  return { region, attached, why: attached ? '' : whyDetached(role) };
}

/** Seconds to wait: none without the option, two minutes without a number. */
function waitOf(wait: string | true | undefined): number {
  if (wait === undefined) return 0;
  if (wait === true) return 120;
  const seconds = Number(wait);
  if (Number.isFinite(seconds) && seconds >= 0 && seconds <= 86_400) return seconds;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `--wait ${wait} is not valid`,
    'Give a number of seconds from 0 to 86400.',
  );
}
