import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ACCOUNT, startEmulator } from './emulator/emulator.ts';
import { Guard } from './emulator/guard.ts';
import { CaptureFeed } from './foreign/capture-feed.ts';
import { cleanUp } from './foreign/clean-up.ts';
import { Group } from './group.ts';
import { inventoryOf } from './inventory.ts';
import { runPhases } from './phases/run-phases.ts';
import { cutOff, reconnect } from './real/cut-off.ts';
import { type RealOptions, realTarget } from './real/real-target.ts';
import { Report } from './report.ts';
import type { Target } from './target.ts';

const OUT = fileURLToPath(new URL('../../.understudy/e2e', import.meta.url));
const REGIONS = ['eu-west-1', 'us-east-1', 'ap-southeast-2'] as const;
const SPARE = 'eu-central-1';

const { values } = parseArgs({
  options: {
    /** In an account of AWS; see docs/E2E.md. */
    real: { type: 'boolean', default: false },
    profile: { type: 'string' },
    account: { type: 'string' },
    regions: { type: 'string', default: REGIONS.join(',') },
    yes: { type: 'boolean', default: false },
    /** On the own emulator: lose the Region as a real run does, by forbidding its functions everything. */
    'cut-off': { type: 'boolean', default: false },
  },
});

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
const report = new Report((line) => console.log(line));
const id = `e2e-${randomBytes(3).toString('hex')}`;
let { folder, guard } = await newFolder();
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
  }
});
interrupted.catch(() => {});
try {
  const { profile, account, yes } = values;
  const options = { profile, account, yes, regions: values.regions.split(',') };
  const target = await Promise.race([values.real ? inAccount(options) : onEmulator(), interrupted]);
  if (target !== undefined) await run(target);
} catch (error) {
  report.broke(error);
}
await guard[Symbol.asyncDispose]();
const passed = await report.close(OUT);
// Phases that were interrupted may still be waiting for something.
process.exit(passed ? 0 : 1);

async function run(target: Target): Promise<void> {
  const group = groupOn(target);
  const { foreign } = target;
  try {
    await Promise.race([runPhases(group), interrupted]);
  } catch (error) {
    report.broke(error);
    if (foreign === undefined) return;
    // Nothing of the phases goes on while their traces are removed.
    await foreign.feed[Symbol.asyncDispose]();
    await guard[Symbol.asyncDispose]();
    ({ folder, guard } = await newFolder());
    await cleanUp(group.handedTo(guard, folder));
  } finally {
    await foreign?.feed[Symbol.asyncDispose]();
    group.close();
  }
}

/** A folder that goes when the run ends, and what starts programs that end with it. */
async function newFolder() {
  const path = await mkdtemp(join(tmpdir(), 'understudy-e2e-'));
  return { folder: path, guard: new Guard(path) };
}

function groupOn(target: Target): Group {
  return new Group({ target, report, guard, folder, out: OUT, id });
}

async function inAccount(options: RealOptions): Promise<Target | undefined> {
  report.begin('plan');
  const regions = options.regions as unknown as Target['regions'];
  const inventory = async () => {
    const looking = groupOn({ name: '', account: '', env: {}, regions, bootstrap: false });
    return inventoryOf(looking).finally(() => looking.close());
  };
  return realTarget(options, id, inventory, report);
}

/** The endpoint that AWS_ENDPOINT_URL names, or else an emulator of our own. */
async function onEmulator(): Promise<Target> {
  const endpoint = process.env.AWS_ENDPOINT_URL;
  const base = { account: ACCOUNT, regions: REGIONS, spare: SPARE, bootstrap: true };
  if (endpoint !== undefined) {
    process.env.AWS_ACCESS_KEY_ID ??= ACCOUNT;
    process.env.AWS_SECRET_ACCESS_KEY ??= 'test';
    const foreign = { feed: new CaptureFeed() };
    return { ...base, name: endpoint, env: { ...process.env, HOME: folder }, foreign };
  }
  report.begin('start the emulator');
  const say = (line: string) => report.say(line);
  const own = await startEmulator({ guard, folder, out: OUT, regions: [...REGIONS, SPARE], say });
  Object.assign(process.env, own.env);
  const certificate = await readFile(own.env.NODE_EXTRA_CA_CERTS!, 'utf8');
  setDefaultCACertificates([...getCACertificates('default'), certificate]);
  const freezing = {
    lose: async (_: Group, region: string) => own.freeze(region),
    bringBack: async (_: Group, region: string) => own.thaw(region),
  };
  const forbidding = { lose: cutOff, bringBack: reconnect };
  return {
    ...base,
    name: 'its own emulator',
    env: { ...process.env, HOME: folder, TMPDIR: folder },
    outage: values['cut-off'] ? forbidding : freezing,
    freezing,
    plainEndpoint: own.plainEndpoint,
  };
}
