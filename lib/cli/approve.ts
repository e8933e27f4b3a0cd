import { connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { inTime } from '#lib/cli/in-time.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { operatorOf } from '#lib/cli/operator.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';

type ApproveOptions = GroupChoice & { json?: boolean; by?: string; deny?: boolean; run?: string };

/** `understudy approve`: answers the run that waits for a person, wherever it waits. */
export async function approveCommand(options: ApproveOptions): Promise<number> {
  const { close, config, peers, register } = await connect(options);
  try {
    const waiting = await Promise.all(
      config.regions.map(async ({ name: region }) => {
        const pending = await inTime(region, peers.approvals(region).pending(), register.sleep).catch(
          () => {},
        );
        return pending === undefined ? [] : [{ region, run: pending.input.run }];
      }),
    );
    const found = waiting.flat().filter(({ run }) => options.run === undefined || run === options.run);
    if (found.length === 0) throw nothingWaits(options.run);
    const approval = {
      outcome: options.deny ? 'denied' : 'approved',
      by: operatorOf(options.by),
    } as const;
    for (const { region, run } of found) {
      const answered = await peers.approvals(region).answer(run, approval);
      const text = answered === 'answered' ? approval.outcome : 'no longer waits';
      console.log(
        options.json ? jsonLine({ region, run, answered, ...approval }) : `${run} (${region}): ${text}`,
      );
    }
    return 0;
  } finally {
    close();
  }
}

function nothingWaits(run: string | undefined): UnderstudyError {
  return new UnderstudyError(
    'CONFIG_INVALID',
    run === undefined ? 'no run waits for approval' : `run ${run} does not wait for approval`,
    'See understudy status for what waits.',
  );
}
