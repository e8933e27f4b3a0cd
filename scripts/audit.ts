import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Installed, refusalOf } from './licences.ts';

/**
 * Looks at the licences of all that the lock file names, and asks the registry for known flaws.
 *
 * Exit status: 0 well; 1 a licence or a flaw; 2 nobody could say whether there are flaws. `--licences-only` is for where the
 * registry cannot be asked: it says so, and takes that for no answer. `npm audit --offline` is no way out: it reports no flaws
 * without having asked anybody.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));

type LockEntry = { readonly license?: string; readonly dev?: boolean };
type AuditReport = {
  readonly auditReportVersion?: number;
  readonly message?: string;
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
};

function installed(): readonly Installed[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  return Object.entries(packages as Record<string, LockEntry>)
    .filter(([path]) => path !== '')
    .map(([path, { license, dev = false }]) => {
      const file = join(ROOT, path, 'package.json');
      // Builds for other platforms are not installed: there, the lock file's word has to do.
      const own = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).license : undefined;
      return { name: path, licence: typeof own === 'string' ? own : license, dev };
    });
}

function knownFlaws(): 'unknown' | readonly string[] {
  const { stdout } = spawnSync('npm', ['audit', '--json'], { cwd: ROOT, encoding: 'utf8' });
  let report: AuditReport;
  try {
    report = JSON.parse(stdout);
  } catch {
    return 'unknown';
  }
  if (report.auditReportVersion === undefined) {
    console.error(`The registry does not say: ${report.message ?? 'no report'}`);
    return 'unknown';
  }
  const flaws = Object.entries(report.vulnerabilities ?? {});
  return flaws.map(([name, { severity, range }]) => `${name} ${range}: ${severity}`);
}

const packages = installed();
const refused = packages.flatMap((each) => refusalOf(each) ?? []);
for (const line of refused) console.error(line);
console.log(`Licences: ${packages.length} packages, ${refused.length} refused.`);
if (refused.length > 0) process.exitCode = 1;

if (process.argv.includes('--licences-only')) {
  console.log('Known flaws: NOT CHECKED. Run npm run audit where the registry answers.');
} else {
  const flaws = knownFlaws();
  if (flaws === 'unknown') {
    console.error(
      'Known flaws: UNKNOWN. Run it where the registry answers npm audit, or look them up by hand.',
    );
    process.exitCode ||= 2;
  } else {
    for (const line of flaws) console.error(line);
    console.log(`Known flaws: ${flaws.length}.`);
    if (flaws.length > 0) process.exitCode = 1;
  }
}
