import { type Connection, connect } from '#lib/cli/connect.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { table } from '#lib/cli/table.ts';
import { adviceOf } from '#lib/domain/control/advice.ts';
import { newestBeat, type RegionSurvey, registerOf, type Survey } from '#lib/domain/control/survey.ts';
import { lagOf } from '#lib/domain/lag.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';

/** `understudy status`: where the group stands and what to do next. Exit status 1 if a Region did not answer. */
export async function statusCommand(options: { cloud?: string; json?: boolean }): Promise<number> {
  const connection = await connect(options.cloud);
  try {
    const survey = await connection.survey();
    const { profile, config } = connection;
    const known = registerOf(survey);
    const guarded = known && guardOf(known.register, survey.atMs);
    const advice = adviceOf(survey, { profile, guarded });
    if (options.json) {
      const { group } = config;
      const head = { group, profile: profile.name, register: known?.register ?? null, agreed: known?.agreed };
      console.log(jsonLine({ ...head, ...survey, regions: survey.regions.map(plain), advice }));
    } else {
      for (const line of groupLines(connection, survey)) console.log(line);
      console.log('');
      for (const line of regionLines(survey)) console.log(line);
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
    if (paused) lines.push(`Paused by ${paused.by}: ${paused.reason}`);
    if (cooldownUntilMs > survey.atMs) lines.push(`Cooldown until ${timeOf(cooldownUntilMs)}.`);
  }
  const { dns } = survey;
  if (dns !== undefined) {
    const names =
      'error' in dns
        ? `unknown: ${dns.error}`
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

function regionLines(survey: Survey): readonly string[] {
  const head = ['Region', 'role', 'attached', 'epoch', 'vote', 'log end', 'sealed', 'applied', 'lag', 'note'];
  return table(
    head,
    survey.regions.map((each) => {
      const { acceptor, applied, head: end, role } = each;
      const leads = role?.leader === each.region;
      const unknown = each.witness ? '' : 'unknown';
      return [
        each.region,
        each.witness ? 'witness' : role === undefined ? 'unknown' : leads ? 'leader' : 'follower',
        role === undefined ? '' : role.attached === role.epoch ? 'yes' : 'no',
        `${acceptor?.accepted?.value.epoch ?? (acceptor ? 'none' : 'unknown')}`,
        acceptor?.vote === undefined ? '' : `against ${acceptor.vote}`,
        end ? `${end.lastLsn} (epoch ${end.lastEpoch})` : unknown,
        end ? `epoch ${end.sealedEpoch}` : '',
        leads ? '' : `${applied?.lsn ?? unknown}`,
        leads || each.witness ? '' : lagText(survey, each),
        each.error ?? (each.copying ? 'first copy under way' : ''),
      ];
    }),
  );
}

/** Behind the end of the leader's log; unknown while that is. */
function lagText(survey: Survey, { applied, copying, role }: RegionSurvey): string {
  const end = survey.regions.find(({ region }) => region === role?.leader)?.head;
  if (applied === undefined || copying === true || end === undefined) return 'unknown';
  const from = { lsn: end.lastLsn, totalBytes: end.totalBytes, commitMs: end.lastCommitMs };
  const { records, ms } = lagOf(from, { ...applied, totalBytes: end.totalBytes }, survey.atMs);
  return `${records} records, ${(ms / 1000).toFixed(1)} s`;
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
