import { Command, CommanderError } from 'commander';
import { ackCommand } from '#lib/cli/ack.ts';
import { approveCommand } from '#lib/cli/approve.ts';
import { type CostOptions, costCommand } from '#lib/cli/cost.ts';
import {
  divergenceDiscardCommand,
  divergenceExportCommand,
  divergenceShowCommand,
} from '#lib/cli/divergence.ts';
import { doctorCommand } from '#lib/cli/doctor.ts';
import { type DrillCommandOptions, drillCommand } from '#lib/cli/drill.ts';
import { failoverCommand, switchoverCommand } from '#lib/cli/failover.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { foundCommand } from '#lib/cli/found.ts';
import { historyCommand } from '#lib/cli/history.ts';
import { lagCommand } from '#lib/cli/lag.ts';
import { logCatCommand, logLsCommand } from '#lib/cli/log.ts';
import { pauseCommand } from '#lib/cli/pause.ts';
import { planCommand } from '#lib/cli/plan.ts';
import { postgresDoctorCommand } from '#lib/cli/postgres-doctor.ts';
import { postgresPrepareCommand } from '#lib/cli/postgres-prepare.ts';
import { reattachCommand } from '#lib/cli/reattach.ts';
import { resumeCommand } from '#lib/cli/resume.ts';
import { type StartOptions, startCommand } from '#lib/cli/start.ts';
import { statusCommand } from '#lib/cli/status.ts';
import { verifyCommand } from '#lib/cli/verify.ts';
import { type ErrorCode, isFailure, UnderstudyError } from '#lib/domain/errors.ts';

/**
 * Failures of input end with 2, a difference between replicas with 3, what a guard refuses with 4, a failover without
 * a candidate with 5, all others with 1.
 */
const INPUT_STATUS = 2;
const STATUS: Partial<Record<ErrorCode, number>> = {
  CONFIG_INVALID: INPUT_STATUS,
  CONFIG_REGION_REPEATED: INPUT_STATUS,
  FORCE_WITHOUT_REASON: INPUT_STATUS,
  LOAD_FILE_UNREADABLE: INPUT_STATUS,
  LOAD_LINE_MALFORMED: INPUT_STATUS,
  LOAD_STATEMENT_FAILED: INPUT_STATUS,
  LOAD_KEY_MISSING: INPUT_STATUS,
  CLOUD_NOT_FOUND: INPUT_STATUS,
  GROUP_NOT_FOUND: INPUT_STATUS,
  REPLICAS_DIFFER: 3,
  FAILOVER_REFUSED: 4,
  REGIONS_TOO_FEW: 4,
  NO_CANDIDATE: 5,
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
    .showHelpAfterError()
    .exitOverride();
  program
    .command('start')
    .description('run three Regions on this machine: a failover drill, or replication alone')
    .argument('[what]', 'drill or replicate', 'drill')
    .option('--engine <name>', 'what is replicated: dynamodb or postgres')
    .option(
      '--guard <mode>',
      'drill with --engine postgres: its lease guard: off, on or strict (default: strict)',
    )
    .option('--scenario <name>', 'drill: what breaks (region-loss, partition, pause, switchover, …)')
    .option('--profile <name>', 'drill: fast, balanced or cautious')
    .option('--flip <how>', 'drill: how DNS moves: control-plane or data-plane (by health checks)')
    .option('--register <name>', 'drill: what the Regions agree by: quorum or mrsc')
    .option('--out <folder>', 'drill: where the report goes (default: .understudy)')
    .option('--rate <n>', 'writes a second')
    .option('--seconds <n>', 'replicate: how long to write')
    .option(
      '--load <file>',
      'begin with the items of a DynamoDB export or of JSON lines or, with --engine postgres, with a file of SQL as pg_dump writes it; plain or gzip',
    )
    .option('--key <names>', 'key attributes of the items of --load: partition key[,sort key]')
    .option('--strict', 'load nothing if a line of --load is malformed')
    .option('--keep', 'leave it running until Ctrl-C, for the other commands to look at and to use')
    .option('--json', 'print one JSON object a line')
    .action((what: string, options: StartOptions & DrillCommandOptions) => run(start)(what, options));

  const region = ['--region <name>', 'whose log (default: the leader)'] as const;
  const json = ['--json', 'print one JSON object a line'] as const;
  ofGroup(program.command('lag'))
    .description('show how far each Region is behind the leader')
    .option(...json)
    .action(run(lagCommand));
  ofGroup(program.command('verify'))
    .description('compare all replicas bucket by bucket and name the first keys that differ')
    .option(...json)
    .action(run(verifyCommand));
  program
    .command('cost')
    .description(
      'reckon the monthly bill of a group, beside that of DynamoDB global tables or an Aurora global database',
    )
    .option('--app <folder>', 'a synthesized app (cdk.out); without it, one is made from the config')
    .option('--config <file>', 'the config file', 'understudy.config.json')
    .option('--regions <list>', 'Regions of the replicas, with commas, in place of those of the config')
    .option('--witness <list>', 'Regions of the witnesses, in place of those of the config')
    .option('--records <n>', 'changes a second (default: 1000)')
    .option('--bytes <n>', 'size of an item or a row (default: 1024)')
    .option('--inserts <share>', 'share of the changes that are new items, 0 to 1 (default: 0)')
    .option('--provisioned', "followers' tables with provisioned capacity, not on demand")
    .option('--utilization <share>', 'share of provisioned capacity that is used (default: 1)')
    .option('--commits <n>', 'appends a second at most (default: 4; of databases 20)')
    .option('--nat-gateways <n>', 'of databases: in each Region, those not there already (default: 1)')
    .option('--idle', 'while nobody writes')
    .option(...json)
    .action(run((options: CostOptions) => costCommand(options)));
  const log = program.command('log').description('read the log');
  ofGroup(log.command('ls'))
    .description('list entries')
    .option('--from <lsn>', 'where to begin', '1')
    .option('--limit <n>', 'entries at most', '50')
    .option(...region)
    .option(...json)
    .action(run(logLsCommand));
  ofGroup(log.command('cat'))
    .description('print the records of a segment as JSON lines')
    .argument('[lsn]', 'an LSN in the segment (default: the newest)')
    .option('--file <path>', 'a segment file instead')
    .option(...region)
    .option('--json', 'what it prints is JSON in any case')
    .action(run(logCatCommand));
  addControl(program, run, json);

  try {
    await program.parseAsync([...argv]);
    return status;
  } catch (error) {
    // Commander has said what is wrong with the arguments, or printed the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : INPUT_STATUS;
    if (!isFailure(error)) throw error;
    process.stderr.write(`${error.message}\nSee ${error.runbook}.\n`);
    return STATUS[error.code] ?? 1;
  }
}

type Run = <A extends readonly unknown[]>(
  command: (...args: A) => Promise<number>,
) => (...args: A) => Promise<void>;
type Flag = readonly [flags: string, description: string];

/** A command that is about a group. */
function ofGroup(command: Command): Command {
  return command
    .option('--group <name@region,...>', 'a group on AWS, by Regions of its replicas that can tell of it')
    .option(
      '--cloud <file>',
      'a group that a cloud.json describes (default: that of the cloud that runs here)',
    );
}

/** The commands about leadership. */
function addControl(program: Command, run: Run, json: Flag): void {
  const command = (name: string, description: string, parent = program) =>
    ofGroup(parent.command(name))
      .description(description)
      .option(...json);
  const by = ['--by <name>', 'who you are, for the record (default: your account here)'] as const;
  const to = ['--to <region>', 'who is to lead'] as const;
  const reason = ['--reason <text>', 'why, for the record'] as const;
  const detach = ['--detach', 'start it and do not wait for its end'] as const;

  command('status', 'show who leads, where every Region stands, and what to do next').action(
    run(statusCommand),
  );
  command('doctor', 'check that all that a group needs is there, and say how to mend what is not')
    .option('--engine <name>', 'check a database instead: postgres')
    .option('--url <url>', 'with --engine: connection string of the database')
    .option('--publication <name>', 'with --engine: name of the publication (default: understudy)')
    .addHelpText('after', '\nIt changes nothing. Exit status: 1 if a check failed.')
    .action(
      run((options: GroupChoice & { json?: boolean; engine?: string; publication?: string; url?: string }) =>
        options.engine === undefined && options.url === undefined
          ? doctorCommand(options)
          : postgresDoctorCommand(options),
      ),
    );
  program
    .command('prepare')
    .description('make in a PostgreSQL database what a group needs there: publication, slot, its own schema')
    .requiredOption('--group <name>', 'name of the group')
    .option('--url <url>', "connection string of the database, as the group's role")
    .option('--publication <name>', 'name of the publication; all tables, if it is not there', 'understudy')
    .option('--slot <name>', 'name of the slot; one that is made anew needs another', 'understudy')
    .addHelpText(
      'after',
      '\nWhat is there is left as it is. Run it for every replica, before understudy found.',
    )
    .action(run(postgresPrepareCommand));
  command('plan', 'show what a failover would do now, what it would lose, and what would refuse it')
    .option(...to)
    .option('--switchover', 'plan a switchover instead')
    .option('--force', 'plan with a replica that is not eligible, if need be')
    .addHelpText('after', '\nIt changes nothing. Exit status: 0 if it would go through, 4 or 5 if not.')
    .action(run(planCommand));
  command('found', 'name the first leader of a group')
    .requiredOption('--leader <region>', 'who is to lead')
    .action(run(foundCommand));
  command('failover', 'replace a leader that is lost')
    .option(...to)
    .option('--force', 'promote even a replica that is not eligible; needs --reason')
    .option(...reason)
    .option(...detach)
    .addHelpText(
      'after',
      '\nA leader that is alive is not replaced: see switchover. Neither a pause nor a cooldown holds it up.',
    )
    .action(run(failoverCommand));
  command('switchover', 'hand leadership over to another Region, without loss')
    .option(...to)
    .option(...reason)
    .option(...detach)
    .action(run(switchoverCommand));
  command('pause', 'no automatic failover until resume')
    .option(...reason)
    .option(...by)
    .action(run(pauseCommand));
  command('resume', 'end a pause').action(run(resumeCommand));
  command('ack', 'end the cooldown after a failover').action(run(ackCommand));
  command('approve', 'let the failover that waits for a person go on')
    .option('--deny', 'end it instead')
    .option('--run <name>', 'which one (default: all that wait)')
    .option(...by)
    .action(run(approveCommand));
  command('history', 'show the decisions of all failovers, the newest last')
    .option('--epoch <n>', 'those that were to begin this epoch')
    .option('--replay', 'make them again from their recorded input; exit status 1 if one differs')
    .action(run(historyCommand));
  command('reattach', 'show which Regions follow the leader, and what the others wait for')
    .option('--wait [seconds]', 'wait until all follow, 120 seconds at most if not told otherwise')
    .addHelpText('after', '\nRegions are taken back by themselves. Exit status: 0 once all follow, 1 if not.')
    .action(run(reattachCommand));

  const divergence = program.command('divergence').description('what a Region had that the group has not');
  const narrowed = (name: string, description: string) =>
    command(name, description, divergence)
      .option('--region <name>', 'of this Region alone')
      .option('--epoch <n>', 'of this epoch alone');
  narrowed('show', 'list the changes').action(run(divergenceShowCommand));
  narrowed('export', 'write the changes to a file, as JSON lines; as SQL if it ends in .sql')
    .argument('<file>', 'a file that does not exist yet')
    .action(run(divergenceExportCommand));
  narrowed('discard', 'record that nobody needs the changes; the reports stay')
    .option(...reason)
    .option(...by)
    .action(run(divergenceDiscardCommand));
}

/** What `start` starts. An option of the other one is refused rather than ignored. */
async function start(what: string, options: StartOptions & DrillCommandOptions): Promise<number> {
  const { guard, scenario, profile, flip, out, register, seconds } = options;
  const others = what === 'replicate' ? { guard, scenario, profile, flip, register, out } : { seconds };
  const misplaced = Object.entries(others).find(([, value]) => value !== undefined)?.[0];
  if (misplaced !== undefined || (what !== 'drill' && what !== 'replicate')) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      misplaced === undefined
        ? `${what} is not drill or replicate`
        : `--${misplaced} is not an option of ${what}`,
      'See understudy start --help; --seconds belongs to start replicate.',
    );
  }
  return what === 'replicate' ? startCommand(options) : drillCommand(options);
}
