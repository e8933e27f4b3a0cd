import { Command } from 'commander';
import { lagCommand } from '#lib/cli/lag.ts';
import { logCatCommand, logLsCommand } from '#lib/cli/log.ts';
import { type StartOptions, startCommand } from '#lib/cli/start.ts';
import { verifyCommand } from '#lib/cli/verify.ts';
import { type ErrorCode, isFailure } from '#lib/domain/errors.ts';

/** Failures of input end with 2, a difference between replicas with 3, all others with 1. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  CONFIG_INVALID: 2,
  CONFIG_REGION_REPEATED: 2,
  LOAD_FILE_UNREADABLE: 2,
  LOAD_LINE_MALFORMED: 2,
  LOAD_KEY_MISSING: 2,
  REPLICAS_DIFFER: 3,
};

/** Runs the command line and returns its exit status. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let status = 0;
  const run =
    <A extends readonly unknown[]>(command: (...args: A) => Promise<number>) =>
    async (...args: A): Promise<void> => {
      status = await command(...args);
    };

  const program = new Command('understudy')
    .description('Leader/follower replication and failover for databases across AWS Regions')
    .showHelpAfterError();
  program
    .command('start')
    .description('run three Regions on this machine, write to the leader, compare all replicas')
    .option('--seconds <n>', 'how long to write')
    .option('--rate <n>', 'writes a second')
    .option('--load <file>', 'write the items of a DynamoDB export or of a file of JSON lines, plain or gzip')
    .option('--key <names>', 'key attributes of the items of --load: partition key[,sort key]')
    .option('--strict', 'load nothing if a line of --load is malformed')
    .option('--keep', 'leave it running until Ctrl-C')
    .option('--json', 'print one JSON object a line')
    .action((options: StartOptions) => run(startCommand)(options));

  const cloud = [
    '--cloud <file>',
    'the group to look at: a cloud.json (default: the cloud that runs here)',
  ] as const;
  const region = ['--region <name>', 'whose log (default: the leader)'] as const;
  const json = ['--json', 'print one JSON object a line'] as const;
  program
    .command('lag')
    .description('show how far each Region is behind the leader')
    .option(...cloud)
    .option(...json)
    .action(run(lagCommand));
  program
    .command('verify')
    .description('compare all replicas bucket by bucket and name the first keys that differ')
    .option(...cloud)
    .option(...json)
    .action(run(verifyCommand));
  const log = program.command('log').description('read the log');
  log
    .command('ls')
    .description('list entries')
    .option('--from <lsn>', 'where to begin', '1')
    .option('--limit <n>', 'entries at most', '50')
    .option(...region)
    .option(...cloud)
    .option(...json)
    .action(run(logLsCommand));
  log
    .command('cat')
    .description('print the records of a segment as JSON lines')
    .argument('[lsn]', 'an LSN in the segment (default: the newest)')
    .option('--file <path>', 'a segment file instead')
    .option(...region)
    .option(...cloud)
    .option('--json', 'what it prints is JSON in any case')
    .action(run(logCatCommand));

  try {
    await program.parseAsync([...argv]);
    return status;
  } catch (error) {
    if (!isFailure(error)) throw error;
    process.stderr.write(`${error.message}\nSee ${error.runbook}.\n`);
    return STATUS[error.code] ?? 1;
  }
}
