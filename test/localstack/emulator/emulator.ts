import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { freePort } from '#lib/local/ports.ts';
import { HOME } from '../target.ts';
import { selfSigned } from './certificate.ts';
import { type Guard, signalGroup } from './guard.ts';
import { emulatorPython } from './python.ts';
import type { RouterOptions } from './router-process.ts';

/** Twelve digits: the emulator takes such a key for the root user of the account of that number. */
export const ACCOUNT = '000000000000';
const START_MS = 30_000;

const START_SCRIPT = fileURLToPath(new URL('ms_plus.py', import.meta.url));
const ROUTER = fileURLToPath(new URL('router-process.ts', import.meta.url));

/** An emulated AWS: a process per Region behind one endpoint, with IAM enforced. */
export type Emulator = {
  readonly endpoint: string;
  /** Environment that SDK and CLI reach it by. */
  readonly env: Readonly<Record<string, string>>;
  /** Where a Region listens without TLS: what a client does that goes past the router. */
  readonly plainEndpoint: (region: string) => string;
  /** Stops a Region where it stands, functions and all: its requests hang. */
  freeze(region: string): void;
  /** Lets it go on as if no time had passed. */
  thaw(region: string): void;
};

/** Starts the emulator in `folder`; `guard` ends it. */
export async function startEmulator(options: {
  readonly guard: Guard;
  readonly folder: string;
  /** Where the Regions' logs go. */
  readonly out: string;
  readonly regions: readonly string[];
  readonly say: (line: string) => void;
}): Promise<Emulator> {
  const { guard, folder, out, say } = options;
  const regions = [...new Set([HOME, ...options.regions])];
  const python = await emulatorPython(say);
  const port = await freePort();
  const ports = Object.fromEntries(await Promise.all(regions.map(async (name) => [name, await freePort()])));
  const certificateFile = join(folder, 'certificate.pem');
  const keyFile = join(folder, 'key.pem');
  const { certificate, key } = selfSigned();
  await mkdir(join(folder, 'shared'), { recursive: true });
  await writeFile(certificateFile, certificate);
  await writeFile(keyFile, key, { mode: 0o600 });

  const endpoint = `https://127.0.0.1:${port}`;
  const env = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: ACCOUNT,
    // Nobody else on this machine can sign for it.
    AWS_SECRET_ACCESS_KEY: randomBytes(20).toString('hex'),
    // The SDK goes by the first, the CDK by the second.
    NODE_EXTRA_CA_CERTS: certificateFile,
    AWS_CA_BUNDLE: certificateFile,
    NO_PROXY: '127.0.0.1',
  };
  const logFile = (region: string) => join(out, `${region}.log`);
  const start = (region: string): ChildProcess =>
    guard.spawn(python, [START_SCRIPT], {
      stdio: 'ignore',
      env: {
        ...env,
        // Functions run on the Node that runs this.
        PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
        HOME: folder,
        TMPDIR: folder,
        BIND_HOST: '127.0.0.1',
        GATEWAY_PORT: `${ports[region]}`,
        MINISTACK_HOST: '127.0.0.1',
        MINISTACK_REGION: region,
        AUTH: 'true',
        IOT_MTLS_ENABLED: '0',
        SFTP_ENABLED: '0',
        MS_PLUS_LOG: logFile(region),
        MS_PLUS_SHARED: join(folder, 'shared'),
        ...(region === HOME ? {} : { MS_PLUS_HOME: `http://127.0.0.1:${ports[HOME]}` }),
      },
    });
  const processes = new Map(regions.map((region) => [region, start(region)]));
  const router: RouterOptions = { port, certificateFile, keyFile, regions: ports };
  const routing = guard.spawn(process.execPath, [ROUTER, JSON.stringify(router)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await Promise.all([
    ...regions.map((region) => ready(region, processes.get(region)!, ports[region]!, logFile(region))),
    new Promise<void>((resolve, reject) => {
      routing.once('message', () => resolve());
      routing.once('exit', (code) => reject(new Error(`the router ended with status ${code}`)));
    }),
  ]);
  say(`${regions.length} Regions at ${endpoint}`);
  return {
    endpoint,
    env,
    plainEndpoint: (region) => `http://127.0.0.1:${ports[region]}`,
    freeze: (region) => signalGroup(processes.get(region)!, 'SIGSTOP'),
    thaw: (region) => signalGroup(processes.get(region)!, 'SIGCONT'),
  };
}

async function ready(region: string, child: ChildProcess, port: number, log: string): Promise<void> {
  const end = performance.now() + START_MS;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/_ministack/health`).catch(() => undefined);
    if (answer?.ok) return;
    if (child.exitCode !== null || performance.now() > end) {
      const said = (await readFile(log, 'utf8').catch(() => '')).slice(-2_000);
      throw new UnderstudyError(
        'SERVER_NOT_STARTED',
        `the emulator of ${region} did not start (status ${child.exitCode}; it said: ${said})`,
        'Remove .understudy/emulator and start it again; if that fails too, mend what it complains of.',
      );
    }
    await sleep(50);
  }
}
