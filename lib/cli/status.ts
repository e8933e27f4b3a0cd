import { type Connection, connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { lagText } from '#lib/cli/lag.ts';
import { table } from '#lib/cli/table.ts';
import { adviceOf } from '#lib/domain/control/advice.ts';
import {
  lagsOf,
  newestBeat,
  type RegionSurvey,
  registerOf,
  type Survey,
} from '#lib/domain/control/survey.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { upstreamOf } from '#lib/domain/topology.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';

/** `understudy status`: where the group stands and what to do next. Exit status 1 if a Region did not answer. */
export async function statusCommand(options: GroupChoice & { json?: boolean }): Promise<number> {
  const connection = await connect(options);
  try {
    const survey = await connection.survey();
    const { profile, config } = connection;
    const known = registerOf(survey);
    const guarded = known && guardOf(known.register, survey.atMs);
    const request = { kind: 'failover', force: false } as const;
    const plan = await planGroup({ config, profile, survey: async () => survey }, request);
    const advice = adviceOf(survey, { profile, guarded, plan });
    if (options.json) {
      const { group } = config;
      const head = {
        group,
        profile: profile.name,
        mayDiverge: plan.mayDiverge,
        register: known?.register ?? null,
        agreed: known?.agreed,
      };
      const regions = survey.regions.map((each) => ({
        ...plain(each),
        fedBy: fedBy(connection, each) ?? null,
        lag: lagsOf(survey, each),
      }));
      console.log(jsonLine({ ...head, ...survey, regions, advice }));
    } else {
      for (const line of groupLines(connection, survey)) console.log(line);
      console.log('');
      for (const line of regionLines(connection, survey)) console.log(line);
      console.log('');
      for (const line of survey.regions.flatMap(alarmLines)) console.log(line);
      console.log('');
      for (const { text } of advice) console.log(`Next: ${text}`);
    }
    return survey.regions.every(({ error }) => error === undefined) ? 0 : 1;
  } finally {
    connection.close();
  }
}

function groupLines({ config, profile }: Connection, survey: Survey): readonly string[] {
  const known = registerOf(survey);
  const lines: string[] = [];
  if (known === undefined) lines.push(`Group ${config.group}: no leader is known. Profile ${profile.name}.`);
  else {
    const { coordinator, cooldownUntilMs, epoch, leader, paused, phase, run, successor } = known.register;
    const who =
      phase === 'leading'
        ? `${leader} leads epoch ${epoch}`
        : `${phase} to epoch ${epoch}, from ${leader}${successor ? ` to ${successor}` : ''}`;
    lines.push(`Group ${config.group}: ${who}${known.agreed ? '' : ' (not confirmed by a majority)'}.`);
    lines.push(`Profile ${profile.name}; epoch claimed by ${coordinator}, run ${run}.`);
    const until = newestBeat(survey, epoch)?.leaseUntilMs ?? 0;
    lines.push(`Lease: ${until > survey.atMs ? `until ${timeOf(until)}` : 'none in force'}.`);
    if (config.failover.onLeaseLost === 'continue') {
      lines.push('Without a lease the leader goes on writing (onLeaseLost: continue), and may diverge.');
    }
    if (paused) lines.push(`Paused by ${paused.by}: ${paused.reason}`);
    if (cooldownUntilMs > survey.atMs) lines.push(`Cooldown until ${timeOf(cooldownUntilMs)}.`);
  }
  const { dns } = survey;
  if (dns !== undefined) {
    const names =
      'error' in dns
        ? `unknown: ${dns.error}`
        : 'regions' in dns
          ? `${dns.regions.join(' or ')} (by health checks)`
          : dns.leader
            ? `${dns.leader.target} (epoch ${dns.leader.epoch})`
            : 'no record yet';
    lines.push(`DNS: ${dns.name} -> ${names}`);
  }
  for (const { approval, divergences = [], region } of survey.regions) {
    if (approval) lines.push(`Waits for approval in ${region}: ${approval.run}`);
    for (const { changes, discarded, epoch } of divergences) {
      const size = changes === undefined ? 'being collected' : `${changes} changes`;
      lines.push(`Divergence in ${region}, epoch ${epoch}: ${size}${discarded ? ', discarded' : ''}`);
    }
  }
  return lines;
}

function regionLines(connection: Connection, survey: Survey): readonly string[] {
  const head = [
    'Region',
    'role',
    'fed by',
    'attached',
    'epoch',
    'vote',
    'log end',
    'sealed',
    'applied',
    'durable lag',
    'applied lag',
    'note',
  ];
  return table(
    head,
    survey.regions.map((each) => {
      const { acceptor, applied, head: end, role } = each;
      const leads = role?.leader === each.region;
      const unknown = each.witness ? '' : 'unknown';
      const lags = lagsOf(survey, each);
      return [
        each.region,
        each.witness ? 'witness' : role === undefined ? 'unknown' : leads ? 'leader' : 'follower',
        fedBy(connection, each) ?? '',
        role === undefined ? '' : role.attached === role.epoch ? 'yes' : 'no',
        `${acceptor?.accepted?.value.epoch ?? (acceptor ? 'none' : 'unknown')}`,
        acceptor?.vote === undefined ? '' : `against ${acceptor.vote}`,
        end ? `${end.lastLsn} (epoch ${end.lastEpoch})` : unknown,
        end ? `epoch ${end.sealedEpoch}` : '',
        leads ? '' : `${applied?.lsn ?? unknown}`,
        leads || each.witness ? '' : lagText(lags.durable),
        leads || each.witness ? '' : lagText(lags.applied),
        each.error ?? (each.copying ? 'first copy under way' : ''),
      ];
    }),
  );
}

/** The Region that sends this one its log, by who leads as far as this one knows. */
function fedBy({ config }: Connection, { region, role }: RegionSurvey): RegionId | undefined {
  return role && upstreamOf(config, region, role.leader);
}

/** What is on in a Region, and whether anybody watches it at all. */
function alarmLines({ region, alarms = [] }: RegionSurvey): readonly string[] {
  if ('error' in alarms) return [`Alarms of ${region}: unknown: ${alarms.error}`];
  if (alarms.length === 0) return [`Alarms of ${region}: there are none. See understudy doctor.`];
  const on = alarms.filter(({ state }) => state === 'alarm');
  if (on.length === 0) return [`Alarms of ${region}: ${alarms.length}, none is on.`];
  return on.map(
    ({ alarm, reason, sinceMs }) => `Alarm ${alarm} of ${region}: on since ${timeOf(sinceMs)}: ${reason}`,
  );
}

/** Without the marks of a head and the values that only the register's protocol needs. */
function plain({ acceptor, head, ...rest }: RegionSurvey) {
  return {
    ...rest,
    ...(acceptor && {
      epoch: acceptor.accepted?.value.epoch ?? null,
      vote: acceptor.vote ?? null,
      beat: acceptor.beat ?? null,
      leaderEnd: acceptor.leaderEnd ?? null,
    }),
    ...(head && {
      log: {
        firstLsn: head.firstLsn,
        lastLsn: head.lastLsn,
        lastEpoch: head.lastEpoch,
        sealedEpoch: head.sealedEpoch,
        lastCommitMs: head.lastCommitMs,
      },
    }),
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
